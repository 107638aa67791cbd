"""`make on-gpu`, tried on the CPU with tiny sizes: what was begun goes on, and nothing begins too late."""

import json
import subprocess

import on_gpu
import peers
import pytest
import torch


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder for the runs and one for the records; the commands still run in the repository."""
    monkeypatch.setattr(on_gpu, "RUNS", tmp_path / "runs")
    return tmp_path / "records"


class Begun:
    """A process that runs beside the tests; it never ends by itself."""

    all: list["Begun"] = []

    def __init__(self, words, **options):
        self.words, self.ended = words, False
        Begun.all.append(self)

    def wait(self, timeout):
        self.ended = True

    def kill(self):
        self.ended = True


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(Begun, "all", [])
    monkeypatch.setattr(subprocess, "Popen", Begun)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")


def report(capsys):
    """{job: outcome} from the last lines."""
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    return {line[0]: line[1] for line in lines if line and line[0] in on_gpu.JOBS}


def ask(out, *words):
    return on_gpu.main(["--out", str(out), *words])


@pytest.mark.slow
def test_a_training_is_measured_first_and_judged_last(here, monkeypatch):
    assert ask(here, "--dry-run", "--only", "clothes") == 0
    record = json.loads((here / "gpu-clothes.json").read_text())
    warm, train, evaluate = record["commands"]
    assert "--config.steps 5 " in warm
    assert f"--config.steps {record['steps']} " in train
    assert evaluate.startswith("python -m ddpm_lite evaluate")
    assert record["images_seen"] == 16 * record["steps"] >= 160
    assert record["gpu"] == "none (a dry run)"
    assert record["evaluate"]["count"] == 30
    assert record["evaluate"]["mean"]["frechet"] > 0

    (here / "gpu-clothes.json").unlink()  # as if it had been stopped before its record was written
    monkeypatch.setattr(subprocess, "run", lambda words, **options: None)
    assert ask(here, "--dry-run", "--only", "clothes") == 0
    assert json.loads((here / "gpu-clothes.json").read_text())["commands"] == [train, evaluate], "no second measurement"


def test_what_is_compiled_does_not_count_as_speed(tmp_path):
    lines = [{"images_per_second": rate} for rate in (2.0, 100.0, 130.0, 110.0)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert on_gpu.read_rate(tmp_path) == 110


def test_one_failure_does_not_hinder_the_next(here, card, monkeypatch, capsys):
    def run(words, **options):
        if "tools/gpu_check.py" in words:
            raise subprocess.CalledProcessError(1, words)
        if "--part" in words:
            raise subprocess.TimeoutExpired(words, 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert ask(here, "--only", "walk", "tests", "speed") == 1
    outcomes = report(capsys)
    assert list(outcomes) == ["tests", "speed", "walk"], "in the order of their priority"
    assert outcomes["tests"].startswith("failed: python tools/gpu_check.py")
    assert outcomes["walk"].startswith("failed: stopped when the time was over")
    prepared = {(one.words[-1], "sampling" in one.words) for one in Begun.all}
    assert prepared == {(name, walks) for name in peers.MAKERS for walks in (False, True)}
    assert all(one.ended for one in Begun.all), "none of them is left behind"


def test_nothing_begins_that_has_no_time_left(here, card, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda words, **options: asked.append(words))
    assert ask(here, "--minutes", "4") == 0
    assert [words[1] for words in asked] == ["tools/gpu_check.py", on_gpu.BENCH[0]], "the walk is short enough"
    assert report(capsys)["wide"] == "left out: it may take 9 minutes, and 4 are left"


def test_what_is_recorded_is_not_done_again(here, card, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda words, **options: asked.append(words))
    here.mkdir()
    (here / "gpu-check.json").write_text("{}")
    (here / "bench-cuda-cifar10.json").write_text('{"steps": {}, "peak": {}}')
    assert ask(here, "--only", "tests", "speed", "walk") == 0
    assert {name: outcome[:4] for name, outcome in report(capsys).items()} == dict.fromkeys(
        ("tests", "speed", "walk"), "done"
    )
    assert [words[words.index("--part") + 1] for words in asked] == ["sampling"]


def test_all_of_it_fits_and_names_what_is_there():
    assert sum(job.minutes for job in on_gpu.JOBS.values()) <= 35
    assert sum(job.minutes for name, job in on_gpu.JOBS.items() if name != "wide") <= 25
    for job in on_gpu.JOBS.values():
        for what in (job.what, job.dry):
            for words in what if isinstance(what, list) else []:
                assert words[0] == "-m" or (on_gpu.ROOT / words[0]).is_file()


def test_numbers_of_a_cpu_do_not_lie_among_the_records(capsys):
    with pytest.raises(SystemExit):
        on_gpu.main(["--dry-run"])
    assert "--out FOLDER" in capsys.readouterr().err


def test_without_a_gpu_nothing_is_done(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        on_gpu.main([])
    assert "--dry-run" in capsys.readouterr().err
