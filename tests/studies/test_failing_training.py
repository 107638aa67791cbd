"""Chapter 15's failing trainings: the record is about these changes, and the text says what the record shows."""

import ast

import mistakes
import pytest
import study_failing_training as study
import study_mistakes
import study_mutations
import torch

from ddpm_lite import load_digits
from ddpm_lite.files.records import read_record


@pytest.fixture(scope="module")
def rows():
    record = read_record("results/failing-training.json")
    settings = {"steps": study.STEPS, "every": study.EVERY, "batch": study_mistakes.BATCH, "rate": study_mistakes.RATE}
    assert {name: record[name] for name in settings} == settings
    assert list(record["rows"]) == list(study.CASES)
    assert record["longer"]["steps"] == study.LONGER
    assert list(record["longer"]["rows"]) == list(study.FOR_LONGER)
    return record["rows"]


@pytest.fixture(scope="module")
def digits():
    data, labels = load_digits("train")
    return ((data + 1) * 127.5).round(), labels


def late(values):
    return sum(values[-5:]) / 5


def test_the_right_training_begins_as_that_of_the_other_study(rows):
    """Its means of 50 steps are those of the record that the chapter's other numbers are from."""
    losses, recorded = rows["right"]["losses"], read_record("results/mistakes.json")["rows"]["right, seed 0"]["losses"]
    means = [sum(losses[i : i + 5]) / 5 for i in range(0, len(losses), 5)]
    assert means == pytest.approx(recorded[: len(means)], abs=0.002)


@pytest.mark.parametrize("name", ["right", "rate x 30", "no zero_grad", "optimiser of a copy", "pixels of 0 to 255"])
def test_the_first_losses_are_those_of_the_record(name, rows, digits):
    _, _, losses, norms = study.train(study.CASES[name], *digits, steps=study.EVERY)
    assert losses[0] == pytest.approx(rows[name]["first"], rel=1e-3)
    assert study.take_means(losses) == pytest.approx(rows[name]["losses"][:1], rel=0.05)
    assert study.take_means(norms) == pytest.approx(rows[name]["norms"][:1], rel=0.05)


def test_a_training_ends_where_it_is_not_finite(digits):
    infinite = study.Case(((study.LOSS, f"{study.LOSS} / (0 if step == 3 else 1)"),))
    assert len(study.train(infinite, *digits, steps=10)[2]) == 3


def test_what_is_not_trained_keeps_its_weights(digits):
    torch.manual_seed(0)
    first = list(mistakes.load_program().Network().parameters())
    for name, moves in {"optimiser of a copy": False, "target drawn anew": True}.items():
        _, model, _, _ = study.train(study.CASES[name], *digits, steps=1)
        assert moves == any(not torch.equal(a, b) for a, b in zip(first, model.parameters(), strict=True))


def test_the_loss_by_time_is_against_the_noise(digits):
    """A network that always answers 0 has the loss 1 at all times."""
    program = mistakes.load_program()
    by_time = study.measure_by_time(program, lambda x, t, label: 0 * x, *digits)
    assert by_time == pytest.approx([1] * study.GROUPS, abs=0.01)


def compare_with_right(rows):
    """For each wrong run: its loss by time divided by the mean of the right runs, and whether it is outside theirs."""
    right = torch.tensor([rows[name]["by_time"] for name in rows if name in study.RIGHT])
    low, high = right.amin(dim=0), right.amax(dim=0)
    found = {}
    for name in rows.keys() - study.RIGHT:
        values = torch.tensor(rows[name]["by_time"])
        found[name] = (values / right.mean(dim=0)).tolist(), ((values < low) | (values > high)).tolist()
    return found, (low / right.mean(dim=0)).tolist(), (high / right.mean(dim=0)).tolist()


def test_what_the_chapter_says_of_the_losses(rows):
    assert len(study.RIGHT) == 7
    right = [late(rows[name]["losses"]) for name in study.RIGHT]
    found, low, high = compare_with_right(rows)
    assert all(row["not_finite_at"] is None for row in rows.values())
    for name in ("t above 100 told as 100", "weights in bfloat16"):
        assert min(right) < late(rows[name]["losses"]) < max(right)  # the training loss shows nothing
    assert max(high[:2]) < 1.03
    assert high[-1] - low[-1] > 0.5
    for name in ("t above 100 told as 100", "t above 100 told as 100, first weights 1"):
        shares, outside = found[name]
        assert outside[2]
        assert shares[2] > 1.1
    bound = 1.06 * sum(right) / len(right)
    near = [name for name, row in rows.items() if name not in study.RIGHT and late(row["losses"]) < bound]
    assert set(near) == {"weights in bfloat16", *study.FOR_LONGER} - set(study.RIGHT)
    grow = [name for name, row in rows.items() if late(row["norms"]) > 500]
    assert grow == ["no zero_grad", "optimiser of a copy"]


@pytest.mark.parametrize("part", ["rows", "longer"])
def test_the_held_out_mean_of_each_wrong_run_is_above_that_of_each_right_run(part):
    record = read_record("results/failing-training.json")
    found = record["rows"] if part == "rows" else record["longer"]["rows"]
    means = {name: sum(row["by_time"]) / study.GROUPS for name, row in found.items()}
    right = [mean for name, mean in means.items() if name in study.RIGHT]
    assert min(mean for name, mean in means.items() if name not in study.RIGHT) > max(right)
    if part == "longer":
        assert min(mean for name, mean in means.items() if name not in study.RIGHT) > 1.01 * max(right)


def test_right_runs_are_below_a_line_for_each_label_in_the_first_fifth_only(rows):
    table = study_mutations.find_cell("detective-failing-least-print")["outputs"][0]["data"]["text/markdown"]
    (line,) = (row for row in "".join(table).splitlines() if row.startswith("| one line for each label"))
    labelled = torch.tensor([float(loss) for loss in line.split("|")[2:-1]])
    for name in study.RIGHT:
        below = torch.tensor(rows[name]["by_time"]) < labelled
        assert below.tolist() == [True] + [False] * 4


def compute_least():
    """The loss of the best straight line in each fifth of the times."""
    names = {"torch": torch}
    exec(study_mutations.find_cell("detective-failing-least")["source"], names)
    least = names["least_loss"](load_digits("train")[0], mistakes.load_program().ALPHA_BAR)
    return least.reshape(study.GROUPS, -1).mean(1)


def test_which_runs_lose_to_the_best_straight_line(rows):
    """Up to t = 120 no right run does, and of the wrong ones all but one; later all runs do."""
    least = compute_least()
    above = {name: (torch.tensor(row["by_time"]) > least).tolist() for name, row in rows.items()}
    below = [name for name, groups in above.items() if not any(groups[:3])]
    assert below == [*study.RIGHT, "weights in bfloat16"]
    assert all(all(groups[3:]) for groups in above.values())


def test_after_longer_training_the_line_does_not_tell_subtle_mistakes_from_right_runs():
    """As the text says; beside the right runs times above 100 still show in the third fifth."""
    least, longer = compute_least(), read_record("results/failing-training.json")["longer"]["rows"]
    below = {name: (torch.tensor(row["by_time"]) < least).tolist() for name, row in longer.items()}
    assert all(below[name] == [True] * 3 + [False] * 2 for name in longer if name in study.RIGHT)
    assert [name for name in longer if not all(below[name][:3])] == ["t above 100 told as 100, first weights 1"]
    found, _, _ = compare_with_right(longer)
    assert all(outside[2 if "above" in name else 0] for name, (_, outside) in found.items())


def test_which_changes_the_checklist_reports():
    """As the last column of the table says; a rate, a batch or another optimiser is not what it gets."""
    source = study_mutations.find_cell("detective-failing")["source"]
    (reported,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REPORTED"
    )
    check_all, found = study_mutations.run_chapter()["check_all"], {}
    for name, case in study.CASES.items():
        if case.weights is not None:
            continue
        try:
            check_all(vars(mistakes.load_program(*case.changes)))
        except AssertionError as message:
            found[name] = str(message)
    assert list(found) == list(reported)
    assert all(reported[name] in said for name, said in found.items())


def test_the_function_to_copy_averages_the_parts_of_the_times():
    names = {"torch": torch}
    exec(study_mutations.find_cell("detective-ends")["source"], names)
    t = torch.arange(1, 201)
    z = t.sqrt().reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8)  # its square is the time
    found = names["loss_by_time"](lambda x, t: 0 * x, z, t, z, 200)
    assert found == pytest.approx([20.5, 60.5, 100.5, 140.5, 180.5])
