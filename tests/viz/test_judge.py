"""The helpers of the check cells: broken answers give a sentence, right ones pass whatever their type."""

import numpy as np
import pytest
import torch

from ddpm_lite.viz.exercises import compare, judge

RIGHT = torch.tensor([1.5, -2.0], dtype=torch.float64)


@pytest.fixture(autouse=True)
def as_a_reader(plain):
    """No type checker, as in a reader's notebook."""


@pytest.mark.parametrize(
    "got",
    [
        RIGHT,
        RIGHT.float(),
        RIGHT.tolist(),
        RIGHT.numpy(),
        RIGHT[None, :],
        [RIGHT[0], RIGHT[1]],
        (RIGHT + 1e-7).tolist(),
    ],
)
def test_equal_values_of_any_type_are_right(got):
    assert compare(got, RIGHT) == ""


@pytest.mark.parametrize(
    ("got", "piece"),
    [
        (None, "NoneType"),
        ("text", "text"),
        (object(), "object"),
        (1.5, "the shape is ()"),
        (torch.zeros(2, 2), "the shape is (2, 2)"),
        ([float("nan"), 1.0], "not a number"),
        ([1.5, float("inf")], "not a number"),
        (-RIGHT, "turned round"),
        (RIGHT + torch.tensor([0.0, 0.5]), "off by up to 0.5"),
    ],
)
def test_wrong_values_get_a_hint(got, piece):
    hint = compare(got, RIGHT, {"turned round": -RIGHT}, case="t = 3")
    assert hint.startswith("not yet: t = 3: ")
    assert piece in hint


def test_a_mistake_that_is_no_mistake_here_gives_no_hint():
    assert compare(RIGHT, RIGHT, {"a sentence": RIGHT}) == ""


def test_differences_of_both_signs_do_not_cancel():
    assert compare(RIGHT + torch.tensor([1.0, -1.0]), RIGHT) != ""


def needs_two(answer):
    a, b = answer(1.0)
    return compare(a, 1.0) or compare(b, 2.0) or "correct"


@pytest.mark.parametrize("pair", [(1.0, 2.0), [1.0, 2.0], np.array([1, 2]), torch.tensor([1.0, 2.0])])
def test_two_results_may_come_in_any_row(pair):
    assert judge(needs_two, lambda x: pair, outputs=2) == "correct"


@pytest.mark.parametrize(
    ("answer", "piece"),
    [
        (3, "expected a function"),
        (lambda x: None, "None"),
        (lambda: 1, "TypeError"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
        (lambda x: 1.0, "2 values"),
        (lambda x: (1.0, 2.0, 3.0), "2 values"),
        (lambda x: "ab", "2 values"),
        (lambda x: (1.0, None), "NoneType"),
    ],
)
def test_broken_answers_get_a_sentence(answer, piece):
    told = judge(needs_two, answer, outputs=2)
    assert told.startswith("not yet: ")
    assert piece in told


def test_what_the_check_cannot_use_is_told():
    assert "cannot use" in judge(lambda answer: answer().nonsense, lambda: 1.0)


def test_an_answer_that_writes_into_its_input_does_no_harm():
    x = torch.ones(3)
    judge(lambda answer: compare(answer(x), 3.0), lambda x: x.mul_(2).sum() - 3)
    assert x.tolist() == [1, 1, 1]


def test_answers_keep_whole_numbers_and_gradients_out():
    seen = []
    judge(lambda answer: seen.append(answer()) or "correct", lambda: torch.ones(2, requires_grad=True))
    judge(lambda answer: seen.append(answer()) or "correct", lambda: [1, 2])
    assert (seen[0].dtype, seen[0].requires_grad) == (torch.float64, False)
    assert seen[1].dtype == torch.int64


def test_a_tensor_function_of_a_plain_number_is_explained():
    def check(answer):
        return compare(answer(0.5), 0.5**0.5) or "correct"

    told = judge(check, lambda number: torch.sqrt(number))
    assert "TypeError" in told
    assert "use ** 0.5 for a root" in told
    assert "use ** 0.5 for a root" in judge(check, lambda number: number.sqrt())
    assert judge(check, lambda number: number**0.5) == "correct"
    assert "plain number" not in judge(check, lambda number: number + "text")
