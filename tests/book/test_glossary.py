"""The glossary names the field's terms, and says where each is derived."""

import re
from pathlib import Path

import pytest
from equations.source import in_book

BOOK = Path(__file__).resolve().parents[2] / "book"
TEXT = (BOOK / "glossary.md").read_text(encoding="utf8")
ENTRIES = dict(
    re.findall(r"^(\S.*)\n((?: {2}\S.*\n?)+)", TEXT.split("```{glossary}\n")[1].split("```")[0], re.MULTILINE)
)
LABELS = {display.label for display in in_book()}

# What a reader of other texts will search for.
WANTED = """
activation function; ancestral sampling; attention; bits per dimension; classifier-free guidance; cross-attention;
denoiser; denoising diffusion implicit model (DDIM); denoising diffusion probabilistic model (DDPM); deterministic
sampler; evidence lower bound (ELBO); exponential moving average (EMA); forward process; Fréchet distance; gradient
accumulation; group normalisation; Heun's method; Jensen's inequality; Kullback-Leibler divergence; latent variable;
memorisation; noise schedule; off-by-one error; posterior; probability-flow ODE; receptive field; reparameterisation
trick; residual block; reverse process; score; self-attention; signal-to-noise ratio (SNR); softmax; spherical
interpolation (slerp); Tweedie's formula; U-Net; variational autoencoder (VAE); velocity; Wasserstein distance
"""

every_entry = pytest.mark.parametrize("term", ENTRIES)


def test_the_fields_terms_are_there_in_alphabetical_order():
    assert {" ".join(term.split()) for term in WANTED.split(";")} - set(ENTRIES) == set()
    assert list(ENTRIES) == sorted(ENTRIES, key=str.casefold)


@every_entry
def test_an_entry_is_short_and_says_where_to_read_on(term):
    text = ENTRIES[term]
    equations, pages = re.findall(r"\{eq\}`([\w-]+)`", text), re.findall(r"\]\(([\w.]+)\)", text)
    assert equations + pages
    assert set(equations) <= LABELS
    assert all((BOOK / page).is_file() for page in pages)
    assert len(text.split()) <= 50
