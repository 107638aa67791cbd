"""The table of `evaluate`: its images are those of the sampler, and its numbers those that were measured."""

import json
import shlex
from functools import partial
from pathlib import Path

import pytest
import torch

from ddpm_lite import (
    UNet,
    UNetConfig,
    ddim_step,
    guided,
    linear_schedule,
    load_digits,
    load_pretrained,
    respace,
    sample,
)
from ddpm_lite.cli import commands as cli
from ddpm_lite.cli import report as reports
from ddpm_lite.cli.report import draw_images, find_data_set, hash_weights, report, write_table
from ddpm_lite.evaluate import floors, load_features, measure
from ddpm_lite.files import weights
from ddpm_lite.sampler import STEPS

RESULTS = Path(__file__).resolve().parents[2] / "book" / "results"
NAME = "digits-by-label"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """What the command prints, and records, about 30 digits of two seeds in 4 steps."""
    out = tmp_path_factory.mktemp("reports") / "found.json"
    words = f"evaluate {NAME} --count 30 --sampler ddim --steps 4 --seeds 5 6 --scale 0.5 --device cpu --out"
    assert cli.main([*words.split(), str(out)]) == 0
    return json.loads(out.read_text(encoding="utf8")), f"python -m ddpm_lite {words}"


def test_rows_are_of_what_the_sampler_draws(evaluated):
    found, _ = evaluated
    model, schedule = load_pretrained(NAME)
    labels, training = torch.arange(30) % 10, load_digits("train")[0]
    options = {"shape": (30, 1, 8, 8), "step": ddim_step, "seed": 6, "context": labels}
    *_, (_, x_0) = sample(guided(model, 0.5, model.none), respace(schedule, 4), **options)
    row = measure(load_features("digits"), x_0.clamp(-1, 1), load_digits("test")[0], training, labels)
    assert {key: found["rows"][1][key] for key in row} == pytest.approx(row, rel=1e-4, abs=1e-4)
    assert [row["seed"] for row in found["rows"]] == [5, 6]
    first, second = (row["frechet"] for row in found["rows"])
    assert found["mean"]["frechet"] == pytest.approx((first + second) / 2, rel=1e-4)
    assert found["spread"]["frechet"] == pytest.approx(abs(first - second) / 2**0.5, rel=1e-3, abs=1e-4)


def test_floors_are_those_of_the_count(evaluated):
    found, _ = evaluated
    training, labels = load_digits("train")
    first, second = (floors(load_features("digits"), load_digits("test")[0], training, 30, s, labels) for s in (5, 6))
    for name, row in first.items():
        mean = {column: (row[column] + second[name][column]) / 2 for column in row}
        spread = {column: abs(row[column] - second[name][column]) / 2**0.5 for column in row}
        assert found["floors"][name] == pytest.approx(mean, rel=1e-4, abs=1e-4), name
        assert found["floors_spread"][name] == pytest.approx(spread, rel=1e-3, abs=1e-4), name


def test_record_says_how_to_make_it_again(evaluated):
    found, words = evaluated
    asked = cli.parse_arguments(shlex.split(found["command"])[3:])
    assert asked == cli.parse_arguments([*words.split()[3:], str(asked.out)])
    assert asked.out.name == "found.json"
    known = {"model": NAME, "sampler": "ddim", "steps": 4, "eta": 0.0, "scale": 0.5, "count": 30, "held_out": 500}
    assert known.items() <= found.items()
    assert found["accuracy"] == json.loads((RESULTS / "features-digits.json").read_text())["accuracy_held_out"]
    assert found["weights"] == hash_weights(load_pretrained(NAME)[0])
    assert found["torch"] in torch.__version__
    assert found["hardware"].endswith("no GPU")
    assert {"seconds", "cpu_seconds", "commit", "command"} <= set(found)


def test_table_is_the_record(evaluated):
    found, _ = evaluated
    lines = write_table(found).splitlines()
    assert lines[0].split() == list(reports.COLUMNS)
    assert [line[:18].strip() for line in lines[1:-2]] == [
        "seed 5", "seed 6", "mean", "spread", "real", "real + noise 0.1", "real, blurred", "class means",
        "pixel Gaussian", "noise",
    ]  # fmt: skip
    numbers = [float(word) for word in lines[1].split()[2:]]
    assert numbers == pytest.approx([found["rows"][0][column] for column in reports.COLUMNS], abs=6e-4)
    assert len(lines[-3].split()) == 6  # noise has no agreement
    times = found["mean"]["frechet"] / found["floors"]["real"]["frechet"]
    assert lines[-2] == f"The Frechet distance is {times:.1f} times that of as many real images."
    assert lines[-1] == "Agreement is with a classifier that labels 99.2% of the held-out images correctly."


@pytest.mark.parametrize(("noise", "told"), [(63.5, False), (59.1, False), (130.0, False), (200.0, True)])
def test_no_ratio_where_noise_is_not_clearly_above_real_images(evaluated, noise, told):
    """Four images: model 64.2, noise 63.5, real 59.1; "1.1 times that of real images" would praise noise."""
    found = json.loads(json.dumps(evaluated[0]))
    found["mean"]["frechet"], found["floors"]["real"]["frechet"], found["floors"]["noise"]["frechet"] = (
        64.2,
        59.1,
        noise,
    )
    found["count"] = 4
    line = write_table(found).splitlines()[-2]
    assert ("times that of" in line) == told, line
    if not told:
        assert line.startswith(f"4 images are too few: the distance of noise is {noise:.1f}, that of real images 59.1")


def test_four_digits_get_no_ratio(capsys):
    assert cli.main(["evaluate", "digits", "--count", "4", "--steps", "2", "--seeds", "0"]) == 0
    assert "4 images are too few" in capsys.readouterr().out


def test_an_eta_means_ddim(monkeypatch):
    asked = []
    monkeypatch.setattr(reports, "report", lambda model, walk, step, *rest, **options: asked.append(step) or {})
    monkeypatch.setattr(reports, "write_table", lambda found: "")
    for words in ([], ["--eta", "0.5"], ["--sampler", "ddim"]):
        assert cli.main(["evaluate", "digits", *words]) == 0
    ddpm, half, ddim = asked
    assert (ddpm, half.func, half.keywords, ddim) == (STEPS["ddpm"], ddim_step, {"eta": 0.5}, ddim_step)


def test_many_are_drawn_in_parts_of_their_own(monkeypatch):
    monkeypatch.setattr(reports, "AT_ONCE", 8)
    model, schedule = load_pretrained(NAME)
    short, labels = respace(schedule, 2), torch.arange(20) % 10
    step = partial(ddim_step, clip=False)
    images = draw_images(model, short, step, (20, 1, 8, 8), labels, seed=3)
    *_, (_, last) = sample(model, short, (4, 1, 8, 8), step=step, seed=11, context=labels[16:])
    assert torch.equal(images[16:], last.clamp(-1, 1))
    assert images.abs().max() == 1
    assert torch.pdist(images.flatten(1)).min() > 0.1
    others = [draw_images(model, short, step, (20, 1, 8, 8), labels, seed=seed) for seed in (2, 3, 4)]
    assert torch.equal(others[1], images)
    assert torch.cdist(torch.cat(others[::2]).flatten(1), images.flatten(1)).min() > 0.1


def test_a_model_without_labels_has_no_agreement():
    model, schedule = load_pretrained("digits")
    found = report(model, respace(schedule, 2), ddim_step, 20, (0,))
    assert "agreement" not in found["rows"][0]
    assert found["spread"] == {}
    assert "spread" not in write_table(found)
    assert "agreement" in found["floors"]["real"]


def test_weights_are_hashed_by_value(tmp_path):
    model, schedule = load_pretrained("digits")
    weights.save(tmp_path / "again.safetensors", model, schedule)
    again, _ = weights.load(tmp_path / "again.safetensors")
    assert hash_weights(again) == hash_weights(model)
    with torch.no_grad():
        again.conv_out.bias[0] += 1e-6
    assert hash_weights(again) != hash_weights(model)


def test_the_data_set_is_told_by_the_images():
    assert (find_data_set(1, 8), find_data_set(1, 28)) == ("digits", "fashion")
    model = UNet(UNetConfig(sample_size=16, channels=(8, 16)))
    with pytest.raises(ValueError, match=r"^model: expected a model of grey images of 8x8 .*, got 16x16 with 1 ch"):
        report(model, linear_schedule(), ddim_step, 20, (0,))


def test_clothes_are_compared_with_clothes(tmp_path, monkeypatch):
    """A network that has learnt nothing draws nothing that counts as clothes; the data set is a small one."""
    torch.manual_seed(0)
    model = UNet(UNetConfig(sample_size=28, channels=(8, 16), blocks=1))
    pixels = torch.randint(256, (40, 1, 28, 28)).to(torch.uint8)
    labels = torch.arange(40) % 10
    monkeypatch.setattr(reports, "load_fashion_mnist", lambda part, folder: (pixels, labels))
    found = report(model, respace(linear_schedule(), 2), ddim_step, 20, (0,))
    assert (found["data"], found["held_out"]) == ("fashion", 40)
    assert found["floors"]["real"]["nearest"] == 0  # here what is held out is what is trained with
    assert found["mean"]["frechet"] > 5 * found["floors"]["real"]["frechet"]


# The shipped digits, from their records


def record_of(name):
    return json.loads((RESULTS / name).read_text(encoding="utf8"))


def test_record_of_digits_is_about_the_shipped_weights():
    found = record_of(f"evaluate-{NAME}.json")
    assert found["weights"] == hash_weights(load_pretrained(NAME)[0])
    assert (found["count"], len(found["rows"]), found["held_out"]) == (1000, 3, 500)
    assert cli.parse_arguments(found["command"].split()[3:]).count == 1000


def test_digits_are_near_real_ones_and_not_learnt_by_heart():
    found = record_of(f"evaluate-{NAME}.json")
    real = found["floors"]["real"]
    assert 1 <= found["mean"]["frechet"] / real["frechet"] <= 4
    assert found["mean"]["nearest"] >= real["nearest"]
    assert found["mean"]["recall"] > 0.6


def test_digits_are_as_asked_for_a_judge_who_saw_other_digits():
    found = record_of("judge-digits.json")
    assert found["weights"] == hash_weights(load_pretrained(NAME)[0])
    assert found["images"] == 1000
    assert found["right_about_training_images"] >= 0.97
    assert found["as_asked"] >= 0.97


@pytest.mark.slow
def test_digits_drawn_now_are_like_the_recorded_ones():
    import judge_digits

    model, schedule = load_pretrained(NAME)
    asked = torch.arange(250) % 10
    images = draw_images(model, respace(schedule, 50), ddim_step, (250, 1, 8, 8), asked, seed=0)
    held_out, (training, labels) = load_digits("test")[0], load_digits("train")
    net = load_features("digits")
    row, real = measure(net, images, held_out, training, asked), floors(net, held_out, training, 250, 0, labels)["real"]
    assert row["frechet"] < 4 * real["frechet"]
    assert row["agreement"] >= 0.94
    assert row["nearest"] > 0.9 * real["nearest"]
    assert (judge_digits.judge()(images) == asked).double().mean() >= 0.94
    assert (judge_digits.judge()(training) == labels).double().mean() >= 0.97
