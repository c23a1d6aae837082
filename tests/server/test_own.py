from __future__ import annotations

import json

import pytest
from federation_samples import round_summary, study

from crisp_core.schema.own import own_key
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary
from crisp_server.own import own_arrays_of
from crisp_server.remarks import remarks_on


def changed(method: str, **sections) -> Study:
    raw = json.loads(study(method=method).model_dump_json())
    for name, keys in sections.items():
        raw[name] = keys if name == "sites" else {**raw[name], **keys}
    return Study.model_validate_json(json.dumps(raw))


def rounds() -> list[RoundSummary]:
    """Two rounds of two generations; north missed the second and the third."""
    summaries = [round_summary((n + 1) // 2, n) for n in (1, 2, 3, 4)]
    for place in (1, 2):
        east = {"east": summaries[place].trained["east"]}
        summaries[place] = summaries[place].model_copy(update={"trained": east})
    return [s.model_copy(update={"sent": f"{s.round_number:064x}"}) for s in summaries]


@pytest.mark.parametrize(
    ("site", "generation", "made_in"),
    [("east", 1, 2), ("east", 2, 4), ("north", 1, 1), ("north", 2, 4)],
)
def test_a_site_goes_on_from_the_last_round_that_counted_up_to_a_generation(
    site: str, generation: int, made_in: int
) -> None:
    found = own_arrays_of(changed("fedbn"), site, rounds(), generation)

    assert found == own_key(made_in, f"{made_in:064x}")


def test_a_site_that_has_not_counted_yet_takes_what_comes() -> None:
    assert own_arrays_of(changed("fedbn"), "west", rounds(), 2) == ""
    assert own_arrays_of(changed("fedbn"), "east", [], 1) == ""


def test_nobody_keeps_anything_where_the_study_does_not_ask_for_it() -> None:
    assert own_arrays_of(changed("fedavg"), "east", rounds(), 2) == ""
    assert own_arrays_of(changed("scaffold"), "east", rounds(), 2) != ""


ONE = {"sites": {"east": {"role": "source"}}}


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (changed("median", **ONE), "With one source median is that source's own training"),
        (changed("fedavgm", crisp={"generations": 1, "phase_shares": [1]}), ""),
        (
            changed(
                "fedavgm",
                crisp={"generations": 1, "phase_shares": [1]},
                federation={"rounds": 1},
            ),
            "no momentum",
        ),
        (changed("fedadam"), "4 rounds are few"),
        (changed("fedadam", federation={"rounds": 100}, training={"steps": 200}), ""),
        (changed("fedprox", training={"steps": 4}), "the proximal term is zero"),
        (changed("fedprox"), ""),
        (changed("fedbn", model={"norm": "group"}), "has no BatchNorm"),
        (changed("fedavg"), ""),
    ],
)
def test_the_run_says_where_a_method_cannot_act(one: Study, sentence: str) -> None:
    said = remarks_on(one)

    assert sentence in " ".join(said)
    assert bool(said) == bool(sentence)
