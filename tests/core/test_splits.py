from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.files.cohort import Case, Cohort
from crisp_core.files.splits import assign_splits

patients = st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=20)
shares = st.floats(0, 1, exclude_max=True)
seeds = st.integers(0, 2**31 - 1)


def cohort_of(names, *, cases_each=1, said=None):
    said = said or {}
    cases = tuple(
        Case(f"{name}-{i}", name, (Path("i"),), Path("l"), split=said.get(name))
        for name in sorted(names)
        for i in range(cases_each)
    )
    return Cohort("site", cases, 1)


@pytest.mark.parametrize(
    ("patient_count", "share", "validating"),
    [(8, 0.25, 2), (10, 0.25, 3), (2, 0.01, 1), (2, 0.99, 1), (1, 0.5, 0), (6, 0.0, 0)],
)
def test_the_share_is_rounded_with_somebody_on_both_sides(patient_count, share, validating):
    splits = assign_splits(cohort_of([f"p{i}" for i in range(patient_count)]), share, 0)

    assert Counter(splits.values())["validation"] == validating


@given(patients, shares, seeds)
@settings(deadline=None)
def test_all_cases_of_a_patient_are_on_one_side(names, share, seed):
    splits = assign_splits(cohort_of(names, cases_each=3), share, seed)

    sides = {(case.rsplit("-", 1)[0], split) for case, split in splits.items()}
    assert len(sides) == len(names)


@given(patients, shares, seeds)
@settings(deadline=None)
def test_one_more_patient_moves_at_most_one_other(names, share, seed):
    before = assign_splits(cohort_of(names), share, seed)

    after = assign_splits(cohort_of({*names, "new"}), share, seed)

    assert sum(before[case] != after[case] for case in before) <= 1


def test_the_seed_decides_who_validates():
    cohort = cohort_of([f"p{i}" for i in range(8)])

    assert assign_splits(cohort, 0.25, 1) == assign_splits(cohort, 0.25, 1)
    assert len({tuple(assign_splits(cohort, 0.25, seed).values()) for seed in range(9)}) > 1


def test_what_the_site_says_wins_and_holds_for_the_whole_patient():
    cohort = cohort_of(["a", "b", "c"], said={"a": "test", "b": "train", "c": "validation"})
    silent = Case("a-extra", "a", (Path("i"),), Path("l"))

    splits = assign_splits(Cohort("site", (*cohort.cases, silent), 1), 0.5, 0)

    assert splits == {"a-0": "test", "b-0": "train", "c-0": "validation", "a-extra": "test"}
