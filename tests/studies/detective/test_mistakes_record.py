"""The record of the mistakes, the study that makes it, and the pages that show it."""

import ast
import json

import mistakes
import more_mistakes
import pytest
import study_mistakes
import study_mutations
import torch
from detective_programs import BOOK, CAUSES, IMAGES

from ddpm_lite import GaussianChain, linear_schedule, load_digits
from ddpm_lite.files.records import name_processor, read_pictures, read_record


def test_the_record_is_about_these_lines():
    record = read_record("results/mistakes.json")
    assert record["program"] == mistakes.SOURCE
    rows, pictures = record["rows"], read_pictures("results/mistakes.safetensors")
    more = {"right, guided", *study_mistakes.MAPPED.values()}
    assert set(rows) == {*study_mistakes.KEYS, *more} == set(pictures)
    assert list(record["other_weights"]["losses"]) == list(map(str, more_mistakes.OTHER))
    draws = record["other_draws"]
    assert draws["seeds"] == [1, *more_mistakes.DRAWS]
    assert list(draws["rows"]) == list(more_mistakes.list_draws())
    assert draws["compared_with"] == {key: usual for key, usual in more_mistakes.list_draws().items() if usual}
    for key, row in draws["rows"].items():  # the first seed is that of all rows
        assert set(row) == {"distance", "as_asked", "outside", "largest"}
        if not key.endswith(more_mistakes.STRONG):
            assert row["distance"][0] == pytest.approx(rows[key]["distance"], abs=0.01)
    for key, mistake in mistakes.MISTAKES.items():
        row = rows[key]
        assert {name: row[name] for name in vars(mistake)} == vars(mistake)
        assert CAUSES[key] in row["says"]
        assert row["says"] in row["lines"][0]
        assert (row["losses"] is None) != study_mistakes.needs_training(key)
        assert pictures[key].shape == (8, 1, 8, 8)


def test_the_chapter_shows_the_whole_program():
    """Its long lines are broken, but it is the same program, without the docstring."""
    shown = "".join(study_mutations.find_cell("detective-program")["outputs"][0]["text"])
    said, code = shown.split("import math\n")
    assert f"{study_mistakes.STEPS:,} steps of {study_mistakes.BATCH} digits" in said
    assert max(map(len, code.splitlines())) <= 72  # what a folded cell has room for
    whole = ast.parse(mistakes.SOURCE)
    whole.body = whole.body[1:]
    assert ast.dump(ast.parse("import math\n" + code)) == ast.dump(whole)


def read_source(code):
    """The functions of a source text by name, and the two tables of the checklist."""
    parts = ast.parse(code).body
    tables = [node for node in parts if isinstance(node, ast.Assign)]
    tables = {ast.unparse(node.targets[0]): ast.unparse(node) for node in tables}
    found = {node.name: ast.unparse(node) for node in parts if isinstance(node, ast.FunctionDef)}
    return found | {name: tables[name] for name in ("QUESTIONS", "OPTIONS") if name in tables}


def read_functions(page):
    """The functions of a page, by name."""
    cells = json.loads((study_mistakes.RESULTS.parent / page).read_text(encoding="utf8"))["cells"]
    code = "\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code" and cell["id"] != "install"
    )
    return read_source(code)


def test_functions_of_all_pages_are_the_same():
    """An appendix runs alone, so it repeats the chapter's functions. `mark` there takes a row, and here its key."""
    chapter, measured, failing = map(read_functions, study_mutations.PAGES)
    assert {"check_all", "read_coefficients", "run_fake", "say", "load"} <= set(chapter) & set(measured)
    file = read_source((BOOK / "checklist.py").read_text(encoding="utf8"))
    assert len(file) == 21
    assert all(chapter[name] == measured[name] == text for name, text in file.items())
    assert "load" in set(chapter) & set(failing)
    for appendix in (measured, failing):
        both = set(chapter) & set(appendix) - {"mark"}
        assert {name for name in both if chapter[name] != appendix[name]} == set()


def read_table(text):
    """The cells of a Markdown table, without its two first lines."""
    rows = [line.strip("| ").split(" | ") for line in "".join(text).splitlines() if line.startswith("|")]
    return rows[2:]


def test_the_counts_of_the_chapter_are_those_of_the_appendix():
    cases = study_mutations.find_cell("detective-real-cases")["outputs"][0]["data"]["text/markdown"]
    table = read_table(cases)
    wrong = [row for row in table if "diffae" not in row[0]]  # that program is right
    assert (len(table), len(wrong)) == (9, 8)
    assert sum(row[3] != "–" for row in wrong) == 7
    assert sum(row[3].startswith("a note") for row in wrong) == 1
    assert sum(row[4] != "–" for row in wrong) == 7
    grid = study_mutations.find_cell("detective-grid")["outputs"][0]["data"]["text/markdown"]
    counts = study_mutations.find_cell("detective-counts")["outputs"][0]["data"]["text/markdown"]
    marks = [row[1:4] for row in read_table(grid)[:-1]]
    clearly, worse = (sum(bool(set(row) & signs) for row in marks) for signs in ({"●"}, {"●", "○"}))
    counted = [len(marks), clearly, worse - clearly, len(marks) - worse]
    assert list(map(int, read_table(counts)[-1][1:])) == counted


CHAINS = ["unscaled-betas", "one-time-early", "index-slip", "noise-at-the-end", "alpha-for-alpha-bar", "another-T"]


@pytest.mark.parametrize("key", CHAINS)
def test_the_exact_chain_is_as_recorded(key):
    row = read_record("results/mistakes.json")["rows"][key]
    assert study_mistakes.follow(study_mistakes.load_unclipped(key)) == pytest.approx(row["chain"], rel=2e-3)


def test_the_exact_chain_of_a_wrong_estimate_is_not_bent_by_the_clip():
    """alpha_t for alpha_bar_t by a recursion of its own, in which nothing is measured and nothing clipped."""
    schedule = linear_schedule(200, 5e-4, 0.1)
    slope, offset = GaussianChain(schedule, study_mistakes.MEAN, study_mistakes.STD).line()
    mean, variance = 0.0, 1.0
    for t in range(200, 0, -1):
        root = schedule.beta[t].sqrt()  # should be that of 1 - alpha_bar_t
        now, before = schedule.one_minus_alpha_bar[t], schedule.one_minus_alpha_bar[t - 1]
        weight_x_t = schedule.alpha[t].sqrt() * before / now
        weight_x_0 = schedule.alpha_bar[t - 1].sqrt() * schedule.beta[t] / now
        estimate = weight_x_0 / schedule.alpha_bar[t].sqrt()  # of x_t - root z_hat
        factor = weight_x_t + estimate * (1 - root * slope[t])
        mean = factor * mean - estimate * root * offset[t]
        variance = factor**2 * variance + schedule.beta_tilde[t]
    chain = read_record("results/mistakes.json")["rows"]["alpha-for-alpha-bar"]["chain"]
    assert chain == pytest.approx([mean.item(), variance.sqrt().item()], rel=2e-3)


def test_the_study_trains_what_the_program_says():
    """Three steps of the right program: the losses of an independent loop over the same draws."""
    program = mistakes.load_program()
    data, labels = load_digits("train")
    network, losses = study_mistakes.train(program, ((data + 1) * 127.5).round(), labels, seed=0, steps=3)
    torch.manual_seed(0)
    model = program.Network()
    for step in range(3):
        chosen = torch.randint(len(data), (study_mistakes.BATCH,))
        t = torch.randint(1, 201, (len(chosen),))
        z = torch.randn(len(chosen), 1, 8, 8)
        share = linear_schedule(200, 5e-4, 0.1).alpha_bar.float()[t][:, None, None, None]
        told = torch.where(torch.rand(len(chosen)) < 0.1, 10, labels[chosen])
        if step == 0:
            loss = (model(share.sqrt() * data[chosen] + (1 - share).sqrt() * z, t, told) - z).square().mean()
            assert losses[0].item() == pytest.approx(loss.item(), rel=1e-4)
    assert not network.training
    assert len(losses) == 3


def test_other_first_weights_leave_the_draws_as_they_are(monkeypatch):
    """The batches of two runs are equal, and their first weights are not."""
    data, labels = load_digits("train")
    seen, weights = [], []
    for more in (None, 1):
        program = mistakes.load_program()
        make_batch, network = program.make_batch, program.Network

        def note(x_0, make_batch=make_batch):
            seen.append(make_batch(x_0)[0])
            return make_batch(x_0)

        def build(network=network):
            weights.append(network())
            return weights[-1]

        monkeypatch.setattr(program, "make_batch", note)
        monkeypatch.setattr(program, "Network", build)
        study_mistakes.train(program, ((data + 1) * 127.5).round(), labels, steps=2, weights=more)
    assert torch.equal(torch.stack(seen[:2]), torch.stack(seen[2:]))
    assert len(weights) == 3  # the second run draws those of seed 0 as well, before its own
    assert not torch.equal(weights[0].first.weight, weights[2].first.weight)


def test_only_uniform_noise_changes_a_draw():
    """All other mistakes are trained with the images, labels, times and noise of the right program with seed 0."""
    x_0 = torch.zeros(study_mistakes.BATCH, 1, 8, 8)
    labels = torch.zeros(study_mistakes.BATCH, dtype=torch.int64)

    def take(program):
        torch.manual_seed(0)
        program.Network()
        _, t, z = program.make_batch(x_0)
        program.drop_labels(labels)
        return t, z, torch.get_rng_state()

    right = take(mistakes.load_program())
    other = set()
    for key in filter(study_mistakes.needs_training, mistakes.MISTAKES):
        t, z, state = take(mistakes.load_wrong(key))
        late = key == "from-zero"  # its t - 1 is drawn
        if not (torch.equal(t + late, right[0]) and torch.equal(z, right[1]) and torch.equal(state, right[2])):
            other.add(key)
    assert other == {"uniform-noise"}


def test_the_draws_are_those_of_the_mistakes_that_leave_training_alone():
    compared = more_mistakes.list_draws()
    alone = {key for key in mistakes.MISTAKES if not study_mistakes.needs_training(key)} | {"no-warm-up"}
    assert set(compared) == alone | {"right, seed 0", "right, guided", "right, w = 3", "no-clip, w = 3"}
    assert [key for key, usual in compared.items() if usual == "right, guided"] == ["guidance-plus-one"]


def test_the_processor_is_stored_with_the_samples(tmp_path, monkeypatch):
    def train(program, *_):
        return program.Network(), torch.zeros(study_mistakes.STEPS)

    monkeypatch.setattr(study_mistakes, "train", train)
    monkeypatch.setattr(study_mistakes, "draw", lambda *_: torch.zeros(1, 1, 8, 8))
    threads = torch.get_num_threads()
    for key in study_mistakes.KEYS:
        study_mistakes.work(key, tmp_path, IMAGES, torch.zeros(len(IMAGES), dtype=torch.int64))
    torch.set_num_threads(threads)  # `work` takes one, as a process of its own may
    told = study_mistakes.read_circumstances(tmp_path)
    assert told["hardware"] == f"{name_processor()}, one thread for each program, no GPU"
    assert told["torch"] == torch.__version__
    (tmp_path / "no-time.safetensors").unlink()
    with pytest.raises(ValueError, match="folder: expected all 25 programs, got 24"):
        study_mistakes.read_circumstances(tmp_path)
    old = dict.fromkeys(("hardware", "hardware_source", "torch", "commit"), "old")
    mixed = study_mistakes.read_circumstances(tmp_path, old | {"made_since": {"no-time": "kept"}})
    assert mixed["hardware"] == "old"
    assert set(mixed["made_since"]) == set(study_mistakes.KEYS)
    assert mixed["made_since"]["no-time"] == "kept"
    assert mixed["made_since"]["from-zero"]["torch"] == torch.__version__
    study_mistakes.save_file({"samples": torch.zeros(1)}, tmp_path / "index-slip.safetensors")
    with pytest.raises(ValueError, match="folder: expected"):
        study_mistakes.read_circumstances(tmp_path)


def test_the_record_says_where_its_processor_is_from():
    record = read_record("results/mistakes.json")
    assert record["hardware"]
    assert "by hand" in record["hardware_source"] or "samples of each program" in record["hardware_source"]
