from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crisp_core.files.cohort import Case
from crisp_core.files.layouts.select import selected
from crisp_core.schema.places import Place, exclude_each_other
from crisp_core.schema.study import SiteEntry, Study

CASES = [
    Case(f"c{n}", f"p{n // 2}", (), None, site=f"s{n % 3}", vendor="AB"[n % 2]) for n in range(24)
]
texts = st.sampled_from(
    [
        "vendor=A",
        "vendor=B",
        "vendor!=A",
        "site=s0|s1",
        "site=s2",
        "fold=1/3",
        "fold!=1/3",
        "fold=2/3",
    ]
)
lists = st.lists(texts, max_size=3)


def ids(select):
    return {case.case_id for case in selected(CASES, select)}


def test_every_condition_must_hold_and_any_of_its_values_may():
    assert ids(["vendor=A", "site=s0|s1"]) == {
        c.case_id for c in CASES if c.vendor == "A" and c.site in ("s0", "s1")
    }
    assert ids(["vendor=a"]) == ids(["vendor!=B"])


def test_folds_part_the_patients_of_every_site_evenly():
    cases = [Case(f"c{n}", f"p{n}", (), None, site=f"s{n % 2}") for n in range(20)]

    folds = [[c.patient_id for c in selected(cases, [f"fold={n}/5"])] for n in range(1, 6)]

    assert sorted(patient for fold in folds for patient in fold) == sorted(
        c.patient_id for c in cases
    )
    assert [len(fold) for fold in folds] == [4] * 5


@given(lists, lists)
def test_lists_that_exclude_each_other_never_share_a_case(some, others):
    if exclude_each_other(some, others):
        assert not ids(some) & ids(others)


@pytest.mark.parametrize("text", ["vendor", "brand=A", "fold=0/5", "fold=6/5", "fold=a"])
def test_what_is_no_condition_is_refused_at_the_door(text):
    with pytest.raises(ValidationError):
        SiteEntry.model_validate_json(json.dumps({"role": "source", "select": text}))


def test_places_are_no_part_of_what_a_study_is():
    plain = {"name": "s", "classes": ["LV"], "sites": {"a": {"role": "source"}}}
    placed = {"role": "source", "data": "D", "layout": "mnms", "select": "vendor=A"}
    other = {**plain, "sites": {"a": placed}}

    one, two = (Study.model_validate_json(json.dumps(raw)) for raw in (plain, other))

    assert one.hash() == two.hash()
    assert two.sites["a"].places == (Place("D", "mnms", ("vendor=A",)),)
