"""The benchmark measures what it claims: alternating rounds, ratios, unchanged models, complete sampling."""

import json
import re
from types import SimpleNamespace

import bench
import peers
import pytest
import report
import torch

from ddpm_lite import UNetConfig

CPU = torch.device("cpu")
SMALL = UNetConfig(8, 1, (8, 16), blocks=1, attention_levels=(1,))


def strides(model):
    """Whether the weights of the convolutions lie channel by channel, as they are made."""
    return [p.is_contiguous() for p in model.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1]


def test_models_are_changed_only_when_the_last_kind_is_asked_for(monkeypatch):
    """The plain runs are measured on a GPU before any model is turned to channels_last or compiled."""
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compiled.append(mode))
    models, x_0 = {"ours": peers.Ours(SMALL), "theirs": peers.Diffusers(SMALL)}, torch.randn(2, 3, 8, 8)
    seen = []
    for kind, x in bench.kinds(models, x_0, True, torch.device("cuda")):
        seen.append(kind)
        last = kind == bench.BEST
        assert x.is_contiguous() == (not last)
        assert torch.equal(x, x_0)
        for model in models.values():
            assert set(strides(model)) == {not last}
        assert compiled == (2 * ["reduce-overhead"] if last else [])
    assert seen == ["fp32", "bf16", bench.BEST]
    assert [kind for kind, _ in bench.kinds(models, x_0, False, CPU)] == ["fp32"]
    assert [kind for kind, _ in bench.kinds(models, x_0, True, torch.device("cuda"), ["best"])] == [bench.BEST]


def test_all_take_turns_and_the_first_round_does_not_count(monkeypatch):
    called = []
    monkeypatch.setattr(bench, "_seconds", lambda run, repeats, device: [run() for _ in range(repeats)] and 0.25)
    runs = {name: lambda name=name: called.append(name) for name in "abc"}
    times = bench.interleaved(runs, 3, CPU, about=0.5)
    assert "".join(called) == "aaabbbccc" + "aabbcc" + "bbccaa" + "ccaabb"
    assert times == {name: 3 * [0.25] for name in "abc"}


def test_a_library_that_fails_does_not_cost_the_times_of_the_others(monkeypatch, capsys):
    monkeypatch.setattr(bench, "_seconds", lambda run, repeats, device: 0.25)

    def broken():
        raise RuntimeError("no gradient\nand more")

    times = bench.interleaved({"a": lambda: None, "b": broken}, 2, CPU)
    assert times == {"a": [0.25, 0.25]}
    assert "b is left out: no gradient\n" in capsys.readouterr().out


def test_a_row_says_how_long_we_take_beside_it(capsys):
    times = {peers.OURS: [3, 1, 2], "diffusers": [4, 4, 5], "another": [8, 1, 10]}
    ours, theirs, another = bench.table("steps", times, "diffusers")
    assert ours == {"name": peers.OURS, "ms": 2000, "ratio": 0.5, "low": 1000, "high": 3000}
    assert (theirs["ratio"], theirs["ours"]) == (1, 0.5)
    assert (another["ratio"], another["ours"]) == (2, 0.25)
    assert "another" in capsys.readouterr().out


@pytest.mark.parametrize("make", [peers.Ours, peers.Diffusers])
def test_a_walk_ends_with_images(make):
    torch.manual_seed(0)
    asked, model = [], make(SMALL).eval()
    model.net.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[1]))
    x_0 = bench.walk(model, (2, 1, 8, 8), 5, CPU, "fp32")()
    assert x_0.shape == (2, 1, 8, 8)
    assert x_0.abs().max() <= 1.001  # the last step gives x_0-hat, which both keep in [-1, 1]
    first = 1 if make is peers.Ours else 0  # they count from 0
    assert [int(t.flatten()[0]) for t in asked] == [t + first for t in (999, 799, 599, 399, 199)]


def test_a_part_alone_is_put_into_the_record_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench.sys, "argv", ["bench.py", "--part", "samplers", "--device", "cpu"])
    monkeypatch.setattr(peers, "versions", lambda: {"torch": "2"})
    monkeypatch.setattr(bench, "measure_samplers", lambda options, device: "new")
    monkeypatch.setattr(report, "main", lambda: None)
    path = tmp_path / "bench-cpu.json"
    bench.main()
    assert json.loads(path.read_text())["samplers"] == "new"
    path.write_text('{"steps": "old", "samplers": "old"}')
    bench.main()
    found = json.loads(path.read_text())
    assert found.pop("seconds") >= 0
    command = "python benchmarks/bench.py --part samplers --device cpu"
    assert found == {"steps": "old", "samplers": "new", "later": {"samplers": command}}


def test_without_the_peers_there_is_one_line(monkeypatch):
    monkeypatch.setattr(bench.sys, "argv", ["bench.py"])
    monkeypatch.setattr(peers, "version", lambda name: (_ for _ in ()).throw(bench.PackageNotFoundError(name)))
    with pytest.raises(SystemExit, match=r"^the peers are not there \(.*torch\): `make bench` installs them"):
        bench.main()


def test_a_record_does_not_say_where_it_was_written():
    words = ["--part", "steps", "--out", "/somewhere/else", "--rounds", "5"]
    assert bench.name_command(words) == "python benchmarks/bench.py --part steps --rounds 5"


def test_half_the_bits_are_measured_at_least_five_times(monkeypatch):
    asked = []

    def measured(runs, rounds, device):
        asked.append(rounds)
        return {"fp32": [2.0], "bf16": [1.0]}

    monkeypatch.setattr(bench, "interleaved", measured)
    for rounds in (5, 9):
        options = SimpleNamespace(rounds=rounds)
        assert bench.measure_half(peers.Ours(SMALL), torch.randn(2, 1, 8, 8), options, CPU) == 2
    assert asked == [5, 5]


def test_the_tables_are_those_of_the_records():
    text = report.README.read_text(encoding="utf8")
    assert text == report.rewrite(text), "run: python benchmarks/report.py"
    named = {block["name"] for block in report.BLOCK.finditer(text)}
    assert {path.name for path in report.RESULTS.glob("bench-*.json")} <= named


def test_no_measured_number_is_typed_outside_of_the_tables():
    by_hand = report.BLOCK.sub("", report.README.read_text(encoding="utf8"))
    assert re.findall(r"\d[\d.,]*\s*(?:%|ms|MB|GFLOP|s\b|seconds|times)", by_hand) == []


def test_each_number_of_a_record_reaches_its_table(tmp_path):
    def rows(*ms):
        return [{"name": n, "ms": m, "low": m - 1, "high": m + 1} for n, m in zip(names, ms, strict=True)]

    names = (report.OURS, "diffusers")
    record = {
        "command": "python bench.py ",
        "hardware": "a processor",
        "gpu": "a card",
        "versions": {"torch": "2.0"},
        "rounds": 3,
        "steps": {
            "shape": [8, 1, 32, 32],
            "parameters": dict.fromkeys(names, 1234),
            "our step in bf16 over fp32": 0.5,
            "train, fp32": rows(30.0, 40.0),
        },
        "samplers": {"(1, 1)": [{"name": "diffusers DDPM", "ms": 4.0, "low": 3.0, "high": 5.0}, *rows(1.0, 2.0)]},
        "sampling": {"shape": [8, 1, 32, 32], "steps": 10, "kind": "fp32", "rows": rows(10.0, 8.0)},
        "imports": {"imports": rows(100.0, 400.0)},
        "memory": {"ddpm_lite": 71.2},
        "peak": {"fp32": {"ours_gflops": 50.0, "peak_gflops": 200.0, "share": 0.25}},
    }
    path = tmp_path / "bench-cuda.json"
    text = "before\n<!-- begin bench-cuda.json -->\nold\n<!-- end bench-cuda.json -->\nafter\n"
    assert "there is no `book/results/bench-cuda.json`" in report.rewrite(text, tmp_path)
    path.write_text(json.dumps(record))
    found = report.rewrite(text, tmp_path)
    assert found.startswith("before\n")
    assert found.endswith("after\n")
    assert "old" not in found
    for line in (
        "a card; a processor. torch 2.0. Medians of 3 rounds, by `python bench.py`.",
        "| diffusers | 1,234 | 40.0 | 0.75 | 39.0 to 41.0 |",
        "Our training step takes 0.50 times as long in bf16 as in fp32.",
        "| diffusers | 8.0 | 1.25 | 7.0 to 9.0 |",
        "| ddpm_lite | 1.000 | 0.25 | 0.000 to 2.000 |",
        "| diffusers | 400.0 | 0.25 | 399.0 to 401.0 |",
        "| ddpm_lite | 71 |",
        "| fp32 | 50 | 200 | 25% |",
    ):
        assert line in found
    assert report.rewrite(found, tmp_path) == found
