"""The changes of one token: which there are, and that the record counts what both tools say today."""

import pytest
import study_mutations

from ddpm_lite.files.records import read_record


@pytest.fixture(scope="module")
def mutants():
    return list(study_mutations.list_mutants())


@pytest.mark.parametrize(
    ("old", "wrong"),
    [
        ("return x / 127.5 - 1", "return x / 127.5 + 1"),
        ("x_0 = x_0.clamp(-1, 1)", "x_0 = x_0.clamp(-1, 2)"),
        ("return z_with + w * (z_with - z_without)", "return z_with + w * (z_with - z_with)"),
        ("t = torch.randint(1, T + 1, (len(x_0),))", "t = torch.randint(2, T + 1, (len(x_0),))"),
    ],
)
def test_a_token_is_changed(mutants, old, wrong):
    ((changed,),) = [[changed] for a, b, changed in mutants if (a, b) == (old, wrong)]
    assert old not in changed.splitlines()
    assert wrong in changed


def test_what_is_no_change_is_left_out(mutants):
    assert not any("w=0.0" in old or "make_cosine" in old or "/ 1.008" in old for old, *_ in mutants)


def test_the_record_counts_what_the_checklist_says():
    record = read_record("results/mistakes.json")["mutations"]
    counted = study_mutations.count()
    assert {name: record[name] for name in counted} == counted
    assert record["changes"] == sum(record["checklist"].values()) == sum(record["examine"].values())
