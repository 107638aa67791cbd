"""Each model that comes with the package has a model card, whose numbers come from the records."""

import cards
import pytest

from ddpm_lite.cli.report import hash_weights
from ddpm_lite.files.records import read_record
from ddpm_lite.files.weights import PRETRAINED, load_pretrained


def test_every_model_has_a_card():
    models = {path.stem for path in PRETRAINED.glob("*.safetensors")}
    assert models == set(cards.MODELS) == {path.stem for path in PRETRAINED.glob("*.md")}


@pytest.mark.parametrize("name", cards.MODELS)
def test_card_is_made_of_the_records(name):
    assert (PRETRAINED / f"{name}.md").read_text(encoding="utf8") == cards.write_card(name), (
        "run python studies/cards.py"
    )


@pytest.mark.parametrize("name", cards.MODELS)
def test_the_evaluation_is_that_of_the_shipped_weights(name):
    found = read_record(cards.train_digits.RESULTS / f"evaluate-{name}.json")
    model, _ = load_pretrained(name)
    assert found["weights"] == hash_weights(model)
    assert len(found["rows"]) >= 3
    assert (found["scale"], found["count"]) == (0, 1000)
