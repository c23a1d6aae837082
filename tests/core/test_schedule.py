from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crisp_core.numerics.schedule import learning_rate, steps_per_round

shares = st.lists(st.floats(0.01, 100), min_size=1, max_size=6)


def test_a_remainder_goes_to_the_largest_fraction() -> None:
    assert steps_per_round(10, (1, 1, 1), 1) == ((4,), (3,), (3,))  # 3.33 each, first of equals
    assert steps_per_round(10, (2, 1), 1) == ((7,), (3,))  # 6.67 and 3.33


def test_rounds_of_a_generation_differ_by_at_most_one_step() -> None:
    assert steps_per_round(100, (4, 1, 1), 3) == ((23, 22, 22), (6, 6, 5), (6, 5, 5))


def test_a_starved_generation_is_lifted_to_one_step_a_round() -> None:
    assert steps_per_round(10, (1000, 1), 2) == ((4, 4), (1, 1))


@given(st.integers(0, 5000), shares, st.integers(1, 5))
def test_no_step_is_lost_and_no_round_is_idle(
    extra: int, phase_shares: list[float], rounds: int
) -> None:
    total = extra + rounds * len(phase_shares)

    plan = steps_per_round(total, phase_shares, rounds)

    assert [len(generation) for generation in plan] == [rounds] * len(phase_shares)
    assert sum(map(sum, plan)) == total
    assert min(map(min, plan)) >= 1


@given(st.integers(100, 5000), shares)
def test_generations_that_get_their_share_are_within_a_step_of_it(
    total: int, phase_shares: list[float]
) -> None:
    quotas = [total * share / sum(phase_shares) for share in phase_shares]
    plan = steps_per_round(total, phase_shares, 1)

    if min(quotas) >= 1:
        assert all(abs(steps - quota) < 1 for (steps,), quota in zip(plan, quotas, strict=True))


@pytest.mark.parametrize(("total", "phase_shares", "rounds"), [(5, (1, 1), 3), (5, (1, 0), 1)])
def test_an_impossible_plan_is_refused(
    total: int, phase_shares: tuple[int, ...], rounds: int
) -> None:
    with pytest.raises(ValueError, match=r"steps cannot fill|positive shares"):
        steps_per_round(total, phase_shares, rounds)


def test_the_rate_falls_from_base_to_nothing() -> None:
    assert learning_rate(0, 100, 1e-3, 0.9) == 1e-3
    assert learning_rate(50, 100, 1e-3, 2) == pytest.approx(1e-3 / 4)
    assert learning_rate(100, 100, 1e-3, 0.9) == 0


@given(st.integers(0, 99), st.floats(0, 3))
def test_the_rate_never_rises(step: int, power: float) -> None:
    assert learning_rate(step + 1, 100, 1e-3, power) <= learning_rate(step, 100, 1e-3, power)


@pytest.mark.parametrize("step", [-1, 11])
def test_a_step_outside_the_budget_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="step must be 0 to 10"):
        learning_rate(step, 10, 1e-3, 0.9)
