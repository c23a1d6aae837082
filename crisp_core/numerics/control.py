"""Control variates of SCAFFOLD: what a site's own direction is, and what all sites' is together.

A local step is w - rate (g - own + common), so that each site moves as if it had the gradient of
all. Both variates follow from models that are exchanged anyway: only the common one travels, from
the coordinator to the sites.

Source:
    Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML
    2020, algorithm 1, option II.
"""

from __future__ import annotations

import numpy as np

from crisp_core.arrays import AnyArray, FloatArray


def own_control(
    own: AnyArray, common: AnyArray, sent: AnyArray, trained: AnyArray, rate_sum: float
) -> FloatArray:
    """Return a site's control variate after a round: its mean gradient in it.

    With K steps of one rate, `rate_sum` is K times that rate. Leaving the rate out makes a variate
    that is as much too small, and corrects next to nothing.

    Args:
        own: c_k before the round.
        common: c, as it was in every step.
        sent: Weights at its beginning.
        trained: Weights at its end.
        rate_sum: The learning rates of its steps, added up.

    Examples:
        >>> w, g = np.float64([4.0]), np.float64([2.0])
        >>> own_control(0 * g, 0 * g, w, w - 3 * 0.1 * g, 3 * 0.1)
        array([2.])
    """
    own64, common64 = np.asarray(own, np.float64), np.asarray(common, np.float64)
    return np.asarray((own64 - common64) + _mean_gradient(sent, trained, rate_sum))


def common_control(
    common: AnyArray, sent: AnyArray, averaged: AnyArray, rate_sum: float, share: float
) -> FloatArray:
    """Return the common control variate after a round: the weighted mean of the sites' own.

    The change of each site's own is (sent - trained) / rate_sum - common: the coordinator knows it
    without being told.

    Args:
        common: c before the round.
        sent: Weights at its beginning.
        averaged: Weighted mean of the weights at its end, over the sites that counted.
        rate_sum: The learning rates of its steps, added up.
        share: Weight of the sites that counted, of all sites' weight.
    """
    found = share * _mean_gradient(sent, averaged, rate_sum)
    return np.asarray((1 - share) * np.asarray(common, np.float64) + found)


def _mean_gradient(sent: AnyArray, trained: AnyArray, rate_sum: float) -> FloatArray:
    return np.asarray((np.asarray(sent, np.float64) - trained) / rate_sum)
