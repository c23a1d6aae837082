from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crisp_core.numerics.aggregation.adaptive import adaptive
from crisp_core.numerics.aggregation.geometric import geometric_median
from crisp_core.numerics.aggregation.krum import krum
from crisp_core.numerics.aggregation.mean import mean, momentum
from crisp_core.numerics.aggregation.middle import coordinate_median, trimmed_mean
from crisp_core.numerics.aggregation.rule import Round, Rule
from crisp_core.numerics.average import weighted_mean

EVERY: dict[str, Rule] = {
    "mean": mean,
    "momentum": momentum(),
    "adam": adaptive("adam"),
    "yogi": adaptive("yogi"),
    "adagrad": adaptive("adagrad"),
    "coordinate-median": coordinate_median,
    "trimmed-mean": trimmed_mean(),
    "krum": krum(),
    "geometric-median": geometric_median(),
}
PLACES = {  # rules whose outcome is a place among the sites, not a step of their own length
    name: EVERY[name]
    for name in ("mean", "coordinate-median", "trimmed-mean", "krum", "geometric-median")
}
models = arrays(np.float32, (3,), elements=st.floats(-4, 4, width=32))


def model(*values: float, steps: int = 0, variance: float = 1.0) -> dict[str, np.ndarray]:
    return {
        "w": np.float32(values),
        "bn.running_var": np.float32([variance]),
        "bn.num_batches_tracked": np.array(steps),
    }


def a_round(*updates: dict[str, np.ndarray], weights: list[float] | None = None) -> Round:
    zero = {name: np.zeros_like(array) for name, array in updates[0].items()}
    return Round(zero, updates, weights or [1.0] * len(updates), frozenset({"bn.running_var"}))


@pytest.mark.parametrize("name", EVERY)
def test_running_statistics_are_averaged_and_counters_take_the_largest(name: str) -> None:
    one = a_round(model(1, steps=3, variance=1), model(2, steps=7, variance=3))

    outcome = EVERY[name](one, {}).parameters

    assert outcome["bn.running_var"].tolist() == [2.0]
    assert outcome["bn.num_batches_tracked"] == 7
    assert {n: a.dtype for n, a in outcome.items()} == {n: a.dtype for n, a in one.current.items()}


@pytest.mark.parametrize("name", PLACES)
def test_one_site_alone_returns_itself(name: str) -> None:
    only = model(0.5, -1.5, 2.0)

    np.testing.assert_array_equal(PLACES[name](a_round(only), {}).parameters["w"], only["w"])


@pytest.mark.parametrize("name", PLACES)
@settings(deadline=None, max_examples=25)
@given(value=models)
def test_identical_sites_return_what_they_agree_on(name: str, value: np.ndarray) -> None:
    one = a_round(*[model(*value)] * 4)

    np.testing.assert_allclose(PLACES[name](one, {}).parameters["w"], value, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(value=models, start=models)
def test_the_median_of_identical_sites_is_their_mean_to_the_bit(
    value: np.ndarray, start: np.ndarray
) -> None:
    one = Round(model(*start), [model(*value)] * 4, [3.0, 1.0, 1.0, 2.0])

    middle, average = (rule(one, {}).parameters["w"] for rule in (coordinate_median, mean))

    np.testing.assert_array_equal(middle, average)


@pytest.mark.parametrize("name", EVERY)
@settings(deadline=None, max_examples=10)
@given(values=st.lists(models, min_size=3, max_size=5, unique_by=bytes))
def test_the_order_of_the_sites_does_not_matter(name: str, values: list[np.ndarray]) -> None:
    sites = [model(*value) for value in values]
    weights = [float(number + 1) for number in range(len(sites))]

    one = EVERY[name](a_round(*sites, weights=weights), {}).parameters
    other = EVERY[name](a_round(*sites[::-1], weights=weights[::-1]), {}).parameters

    if name != "krum":  # of two that are equally good it takes the first
        np.testing.assert_allclose(one["w"], other["w"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
@settings(deadline=None, max_examples=25)
@given(values=st.lists(models, min_size=3, max_size=5))
def test_the_scale_of_the_weights_does_not_matter(name: str, values: list[np.ndarray]) -> None:
    sites = [model(*value) for value in values]
    weights = [float(number + 1) for number in range(len(sites))]

    one = EVERY[name](a_round(*sites, weights=weights), {}).parameters
    other = EVERY[name](a_round(*sites, weights=[10 * w for w in weights]), {}).parameters

    np.testing.assert_allclose(one["w"], other["w"], rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(values=st.lists(models, min_size=1, max_size=5))
def test_without_momentum_the_step_is_the_mean(values: list[np.ndarray]) -> None:
    one = a_round(*[model(*value) for value in values])

    stepped = momentum(decay=0.0)(one, {}).parameters

    np.testing.assert_array_equal(stepped["w"], weighted_mean(one.updates, one.weights)["w"])


def test_momentum_carries_the_last_change_on() -> None:
    first = a_round(model(1.0))
    rule = momentum(decay=0.9)

    kept = rule(first, {}).memory
    still = rule(a_round(model(0.0)), kept)

    assert still.parameters["w"].tolist() == pytest.approx([0.9])  # no new change, 0.9 of the old


@pytest.mark.parametrize(
    ("kind", "spread"),
    [
        ("adam", 0.99 * 1e-6 + 0.01 * 4.0),
        ("yogi", 1e-6 + 0.01 * 4.0),  # v below d^2 grows by (1 - b2) d^2
        ("adagrad", 1e-6 + 4.0),
    ],
)
def test_the_first_adaptive_step_is_the_printed_one(kind: str, spread: float) -> None:
    stepped = adaptive(kind, rate=0.1)(a_round(model(2.0)), {}).parameters["w"]

    assert stepped.tolist() == pytest.approx([0.1 * (0.1 * 2.0) / (spread**0.5 + 1e-3)])


def test_yogi_forgets_a_large_spread_slower_than_adam() -> None:
    large = a_round(model(10.0))
    small = a_round(model(0.1))
    spreads = {}
    for kind in ("adam", "yogi"):
        rule = adaptive(kind)
        spreads[kind] = rule(small, rule(large, {}).memory).memory["spread/w"][0]

    assert spreads["yogi"] > spreads["adam"]


def test_the_median_ignores_one_site_of_three_however_far_it_is() -> None:
    one = a_round(model(1.0), model(2.0), model(1e6))

    assert coordinate_median(one, {}).parameters["w"].tolist() == [2.0]
    assert coordinate_median(one, {}).notes == ()


def test_a_median_of_two_says_that_it_defends_against_nobody() -> None:
    outcome = coordinate_median(a_round(model(1.0), model(3.0)), {})

    assert outcome.parameters["w"].tolist() == [2.0]
    assert "defends against nobody" in outcome.notes[0]


def test_a_trimmed_mean_of_five_drops_one_at_each_end() -> None:
    one = a_round(*(model(value) for value in (-100, 1, 2, 3, 100)))

    outcome = trimmed_mean(0.2)(one, {})

    assert outcome.parameters["w"].tolist() == [2.0]
    assert outcome.notes == ()


def test_a_trimmed_mean_of_three_says_that_it_drops_nothing() -> None:
    outcome = trimmed_mean(0.2)(a_round(model(0), model(1), model(5)), {})

    assert outcome.parameters["w"].tolist() == [2.0]
    assert "dropped nothing" in outcome.notes[0]


def test_krum_picks_the_site_in_the_crowd() -> None:
    one = a_round(*(model(value) for value in (0.9, 1.0, 1.2, 9.0, -9.0)))

    outcome = krum(faulty=1)(
        one, {}
    )  # the two nearest count: 0.9 -> 0.01 + 0.09, 1.0 -> 0.01 + 0.04

    assert outcome.parameters["w"].tolist() == pytest.approx([1.0])
    assert outcome.notes == ()


def test_krum_with_too_few_sites_says_that_its_premise_is_broken() -> None:
    outcome = krum(faulty=1)(a_round(model(0), model(1), model(1.5)), {})

    assert "proven for 5 sites or more; there were 3" in outcome.notes[0]


def test_multi_krum_averages_the_crowd_by_case_count() -> None:
    sites = [model(value) for value in (1.0, 2.0, 50.0)]

    outcome = krum(faulty=0, keep=2)(a_round(*sites, weights=[3.0, 1.0, 1.0]), {})

    assert outcome.parameters["w"].tolist() == pytest.approx([1.25])


def test_the_geometric_median_of_three_on_a_line_is_the_middle_one_within_its_steps() -> None:
    one = a_round(model(1.0), model(1.1), model(1e4))

    assert geometric_median()(one, {}).parameters["w"][0] == pytest.approx(1.1, abs=0.02)


def test_a_hundredfold_change_moves_the_clipped_median_no_further_than_an_honest_one() -> None:
    honest = [model(1.0, 0.0), model(0.9, 0.1)]

    bent = geometric_median()(a_round(*honest, model(-100.0, 0.0)), {}).parameters["w"]
    mild = geometric_median()(a_round(*honest, model(-1.0, 0.0)), {}).parameters["w"]

    np.testing.assert_allclose(bent, mild, atol=0.05)


@pytest.mark.parametrize("make", [lambda: trimmed_mean(0.5), lambda: krum(-1), lambda: krum(1, 0)])
def test_rules_that_make_no_sense_are_refused(make) -> None:
    with pytest.raises(ValueError, match="got"):
        make()
