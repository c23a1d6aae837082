from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from crisp_core.arrays import Parameters
from crisp_core.errors import UpdateRefusedError
from crisp_server.admission import Comparison, admit, change, compare, opposition

SHAPE = (8, 8, 3, 3)


def sent() -> dict[str, np.ndarray]:
    draws = np.random.default_rng(0)
    return {
        "deep": draws.normal(size=SHAPE).astype(np.float32),
        "head": draws.normal(size=(4, 8)).astype(np.float32),
        "bias": np.zeros(4, np.float32),
        "seen": np.int64(3),
    }


def trained(seed: int, own: float = 1.0) -> dict[str, np.ndarray]:
    """Every site learns the same, and as much again that is its own."""
    common, draws = np.random.default_rng(1), np.random.default_rng(100 + seed)
    moved = {}
    for name, array in sent().items():
        step = common.normal(size=array.shape) + own * draws.normal(size=array.shape)
        moved[name] = (array + 0.2 * step).astype(array.dtype)
    return moved


def compared(updates: Mapping[str, Parameters], before: Mapping[str, float]) -> Comparison:
    return compare(sorted(updates), lambda site: change(updates[site], sent()), before)


def refusals(updates: Mapping[str, Parameters]) -> Mapping[str, str]:
    return compared(updates, {}).refused


def honest(count: int = 4) -> dict[str, dict[str, np.ndarray]]:
    return {f"site-{number}": trained(number) for number in range(count)}


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_honest_sites_are_not_refused(count: int) -> None:
    assert refusals(honest(count)) == {}


def test_sites_that_share_nothing_are_not_refused() -> None:
    assert refusals({f"site-{n}": trained(n, own=1000.0) for n in range(5)}) == {}


def test_sites_that_pull_apart_around_their_average_are_not_refused() -> None:
    """As at the end of training: the changes of three sites sum to nothing."""
    pulls = {"a": trained(1, own=50.0), "b": trained(2, own=50.0)}
    base = sent()
    last = {n: (3 * base[n] - pulls["a"][n] - pulls["b"][n]).astype(base[n].dtype) for n in base}

    assert refusals({**pulls, "c": last}) == {}


def turned(updates: Mapping[str, Parameters], site: str) -> dict[str, Parameters]:
    base = sent()
    around = {n: (2 * base[n] - array).astype(array.dtype) for n, array in updates[site].items()}
    return {**updates, site: around}


@pytest.mark.parametrize(("before", "refused"), [({}, True), (0.3, True), (0.1, False)])
def test_a_site_that_had_drifted_away_is_not_refused_for_its_direction(before, refused) -> None:
    """As where two cohorts are alike and a third is not: each round it goes its way further."""
    stood = before if isinstance(before, dict) else dict.fromkeys(honest(3), before)

    comparison = compared(turned(honest(3), "site-2"), stood)

    assert ("site-2" in comparison.refused) == refused
    assert (
        opposition(compared(turned(honest(3), "site-2"), {"site-2": 0}).agreement)["site-2"] > 0.2
    )


def test_what_all_learn_alike_counts_however_small_its_layer_is() -> None:
    """The deep layer is noise of its own at each site and nine tenths of the weights."""
    updates = {}
    for number in range(3):
        noise = np.random.default_rng(number).normal(size=SHAPE)
        alike = trained(number, own=0.2)
        updates[f"site-{number}"] = {**alike, "deep": (sent()["deep"] + noise).astype(np.float32)}

    assert refusals(updates) == {}
    assert list(refusals(turned(updates, "site-1"))) == ["site-1"]


def test_the_agreement_of_those_that_count_is_kept_for_the_next_round() -> None:
    updates = honest(4)

    alone, all_ = compared(updates, {}), compared(turned(updates, "site-2"), {})

    assert set(alone.agreement) == set(updates)
    assert all(0.2 < cosine < 1 for cosine in alone.agreement.values())
    assert set(all_.agreement) == set(updates) - {"site-2"}


@pytest.mark.parametrize("count", [3, 4, 6])
def test_a_change_a_hundred_times_as_long_is_refused(count: int) -> None:
    updates = honest(count)
    base = sent()
    updates["site-1"] = {
        name: (base[name] + 100 * (array - base[name])).astype(array.dtype)
        for name, array in updates["site-1"].items()
    }

    (reason,) = refusals(updates).values()
    assert list(refusals(updates)) == ["site-1"]
    assert "times the others' length" in reason


@pytest.mark.parametrize("count", [3, 4, 6])
def test_a_change_in_the_opposite_direction_is_refused(count: int) -> None:
    updates = turned(honest(count), "site-2")

    assert list(refusals(updates)) == ["site-2"]
    assert "against" in refusals(updates)["site-2"]


def test_a_transposed_square_layer_is_refused_by_its_name() -> None:
    updates = honest(3)
    updates["site-0"]["deep"] = np.ascontiguousarray(np.swapaxes(updates["site-0"]["deep"], 0, 1))

    assert list(refusals(updates)) == ["site-0"]
    assert "'deep'" in refusals(updates)["site-0"]


def test_a_vector_may_differ_more_than_a_matrix_but_not_without_end() -> None:
    updates, base = honest(4), sent()
    for times, site in ((8, "site-0"), (60, "site-1")):
        updates[site]["bias"] = (times * (updates[site]["bias"] - base["bias"])).astype(np.float32)

    assert list(refusals(updates)) == ["site-1"]
    assert "'bias'" in refusals(updates)["site-1"]


@pytest.mark.parametrize(
    ("name", "times", "refused"),
    [("deep", 3, False), ("deep", 5, True), ("head", 5, False), ("head", 12, True)],
)
def test_a_layer_that_cannot_be_transposed_unnoticed_may_change_more(
    name: str, times: int, *, refused: bool
) -> None:
    updates, base = honest(3), sent()
    change = updates["site-1"][name] - base[name]
    updates["site-1"][name] = (base[name] + times * change).astype(np.float32)

    assert list(refusals(updates)) == (["site-1"] if refused else [])


def test_of_two_updates_neither_can_be_told_to_be_wrong() -> None:
    updates = honest(2)
    updates["site-1"]["deep"] = 1e6 * updates["site-1"]["deep"]

    assert refusals(updates) == {}


def test_updates_that_change_nothing_are_alike() -> None:
    assert refusals(dict.fromkeys("abc", sent())) == {}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda u: u.pop("head"), "no array 'head'"),
        (lambda u: u.update(extra=np.zeros(2)), "an unknown array 'extra'"),
        (lambda u: u.update(head=u["head"].T), r"got float32 \(8, 4\)"),
        (lambda u: u.update(head=u["head"].astype(np.float64)), "float64"),
        (lambda u: u.update(head=u["head"] * np.float32(np.nan)), "nan or infinity"),
    ],
)
def test_an_update_that_does_not_fit_is_refused_with_the_array(spoil, said: str) -> None:
    update = trained(0)
    spoil(update)

    with pytest.raises(UpdateRefusedError, match=said) as caught:
        admit("north", update, sent())
    assert "site 'north'" in str(caught.value)


def test_an_admitted_update_has_the_order_of_what_was_sent() -> None:
    shuffled = dict(reversed(trained(0).items()))

    assert list(admit("north", shuffled, sent())) == list(sent())
