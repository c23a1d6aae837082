from __future__ import annotations

import numpy as np
import pytest

from crisp_core.numerics.control import common_control, own_control
from crisp_core.numerics.schedule import learning_rate, rate_sum

RATE, STEPS = 0.05, 20


def trained(weight: float, own: float, common: float, slope: float) -> float:
    """Take local steps down a straight line whose gradient is `slope` everywhere."""
    for _ in range(STEPS):
        weight -= RATE * (slope - own + common)
    return weight


@pytest.mark.parametrize("rate_sum", [STEPS * RATE])
def test_a_sites_variate_is_its_gradient_whatever_was_corrected(rate_sum: float) -> None:
    before = np.float64([[0.3], [-1.0], [4.0]])  # c_k, c, w

    after = own_control(*before, np.float64([trained(4.0, 0.3, -1.0, slope=7.0)]), rate_sum)

    assert after == pytest.approx(7.0)


def test_a_variate_without_the_rate_corrects_next_to_nothing() -> None:
    zero, sent = np.zeros(1), np.float64([4.0])
    end = np.float64([trained(4.0, 0.0, 0.0, slope=7.0)])

    trap = own_control(zero, zero, sent, end, rate_sum=STEPS)  # divides by K and not by K eta

    assert trap == pytest.approx(RATE * 7.0)
    assert own_control(zero, zero, sent, end, STEPS * RATE) == pytest.approx(7.0)


def test_a_decaying_rate_is_added_up_step_by_step() -> None:
    total = rate_sum(10, 5, 40, 0.1, 0.9)

    assert total == pytest.approx(sum(learning_rate(n, 40, 0.1, 0.9) for n in range(10, 15)))
    assert rate_sum(0, 5, 40, 0.1, 0.9) > total


def test_the_common_variate_is_the_weighted_mean_of_the_sites_own() -> None:
    generator = np.random.default_rng(3)
    shares, own = np.float64([0.5, 0.3, 0.2]), generator.normal(size=(3, 4))
    common, sent = shares @ own, generator.normal(size=4)
    ends = sent + generator.normal(size=(3, 4))

    new = np.stack([own_control(own[k], common, sent, ends[k], 0.7) for k in range(3)])

    found = common_control(common, sent, shares @ ends, 0.7, share=1.0)
    np.testing.assert_allclose(found, shares @ new)


def test_a_site_that_was_absent_keeps_its_part_of_the_common_variate() -> None:
    own, shares = np.float64([1.0, 5.0]), np.float64([0.75, 0.25])
    common, sent, end = shares @ own, np.float64(2.0), np.float64(1.4)

    first = own_control(own[0], common, sent, end, 0.5)
    found = common_control(common, sent, end, 0.5, share=0.75)  # only the first came

    assert found == pytest.approx(shares @ np.float64([first.item(), 5.0]))
