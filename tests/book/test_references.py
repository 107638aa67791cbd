"""Every source has a link that a reader can follow, and a name of its own in the text."""

import re
from pathlib import Path

import pytest
from pybtex.database import parse_file
from pybtex.plugin import find_plugin
from quoted import read

ENTRIES = parse_file(str(Path(__file__).resolve().parents[2] / "book" / "references.bib")).entries
every_entry = pytest.mark.parametrize("key", ENTRIES)


def cited(entry):
    """How the text calls a source: Song et al., 2021a."""
    return ", ".join(read.name_source(entry))


@every_entry
def test_a_source_has_a_link(key):
    style, backend = find_plugin("pybtex.style.formatting", "plain")(), find_plugin("pybtex.backends", "html")()
    (line,) = style.format_entries([ENTRIES[key]])
    assert re.search(
        r'href="https://(arxiv\.org/abs/\d{4}\.\d{4,5}"|doi\.org/10\.|github\.com/|projecteuclid\.org/'
        r"|diffusionflow\.github\.io/|karpathy\.github\.io/|sander\.ai/)",
        line.text.render(backend),
    )


@every_entry
def test_no_number_is_hidden_in_a_note(key):
    assert not re.search(r"arxiv|doi|http", ENTRIES[key].fields.get("note", ""), re.IGNORECASE)


def test_no_two_sources_are_cited_alike():
    names = [cited(entry) for entry in ENTRIES.values()]
    assert sorted(names) == sorted(set(names))
    assert {"Song et al., 2021a", "Song et al., 2021b"} <= set(names)
