"""The study of rounded weights: it samples with the page's weights, and its record belongs to the shipped network."""

import study_rounded as study
import torch

from ddpm_lite.cli import report
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.files.records import read_record
from ddpm_lite.files.weights import load_pretrained
from ddpm_lite.viz.export_page import export_page, round_as_page


def test_rounding_is_the_part_of_the_norm_that_is_lost():
    whole, rounded = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    whole.load_state_dict({"weight": torch.tensor([[3.0, 4.0]]), "bias": torch.tensor([12.0])})
    rounded.load_state_dict({"weight": torch.tensor([[3.0, 3.0]]), "bias": torch.tensor([12.0])})
    assert abs(study.measure_rounding(whole, rounded) - 1 / 13) < 1e-7


def test_the_rounded_weights_sample(clothes, monkeypatch):
    images, labels = clothes
    monkeypatch.setattr(report, "load_real_images", lambda *_: ((from_bytes(images), labels), clothes))
    found = study.measure_network(count=20, steps=2)
    model, _ = load_pretrained("fashion")
    assert found["weights"] == report.hash_weights(model) != found["rounded_weights"]
    assert found["rounded_weights"] == report.hash_weights(round_as_page(model))
    assert 0.01 < found["rounding"] < 0.05
    assert found["rounded"].keys() == {"seed", *report.COLUMNS, "seconds"}


def test_the_record_belongs_to_the_shipped_network():
    model, schedule = load_pretrained("fashion")
    record, whole = read_record(study.RECORD), read_record(study.WHOLE)
    rounded = round_as_page(model)
    assert (record["weights"], record["rounded_weights"]) == (report.hash_weights(model), report.hash_weights(rounded))
    assert record["bytes"] == len(export_page("fashion", model, schedule))
    assert record["rounding"] == round(study.measure_rounding(model, rounded), 5)
    assert record["whole"] == whole["rows"][study.SEED]
    three = [row["agreement"] for row in whole["rows"]]
    assert abs(record["rounded"]["agreement"] - sum(three) / 3) <= max(three) - min(three), "seeds differ by as much"
