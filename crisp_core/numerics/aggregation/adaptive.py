"""Steps whose length each weight earns by itself: FedAdam, FedYogi, FedAdagrad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from crisp_core.arrays import AnyArray, FloatArray, Parameters
from crisp_core.numerics.aggregation.rule import Named, Outcome, Round, Rule

Kind: TypeAlias = Literal["adam", "yogi", "adagrad"]
Spread: TypeAlias = Callable[[FloatArray, FloatArray, float], FloatArray]
SERVER_RATE = 0.01
DIRECTION, SPREAD = "direction/", "spread/"


def _adam(spread: FloatArray, square: FloatArray, decay: float) -> FloatArray:
    return decay * spread + (1 - decay) * square


def _yogi(spread: FloatArray, square: FloatArray, decay: float) -> FloatArray:
    return np.asarray(spread - (1 - decay) * square * np.sign(spread - square))


def _adagrad(spread: FloatArray, square: FloatArray, decay: float) -> FloatArray:
    del decay  # every square counts for ever
    return spread + square


_SPREADS: Mapping[str, Spread] = MappingProxyType(
    {"adam": _adam, "yogi": _yogi, "adagrad": _adagrad}
)


def adaptive(
    kind: Kind,
    rate: float = SERVER_RATE,
    direction_decay: float = 0.9,
    spread_decay: float = 0.99,
    floor: float = 1e-3,
) -> Rule:
    """Step along the mean change, each weight scaled by how much it has moved before.

    As printed: m = b1 m + (1 - b1) d; v by the kind; w = w + rate m / (sqrt(v) + floor), without
    bias correction, v starting at floor^2.

    Args:
        kind: How v follows the squared change.
        rate: eta, the server's learning rate.
        direction_decay: b1.
        spread_decay: b2; adagrad has none.
        floor: tau, how adaptive the step is.

    Source:
        Reddi et al., "Adaptive Federated Optimization", ICLR 2021, algorithm 2.
    """

    def rule(one: Round, memory: Parameters) -> Outcome:
        average = one.mean()
        kept: dict[str, AnyArray] = {}
        stepped: dict[str, FloatArray] = {}
        for name in one.learned:
            change = average[name].astype(np.float64) - one.current[name]
            before = memory.get(DIRECTION + name, np.zeros_like(change))
            direction = direction_decay * before + (1 - direction_decay) * change
            start = memory.get(SPREAD + name, np.full_like(change, floor**2))
            spread = _SPREADS[kind](start, change**2, spread_decay)
            stepped[name] = one.current[name] + rate * direction / (np.sqrt(spread) + floor)
            kept |= {DIRECTION + name: direction, SPREAD + name: spread}
        return Outcome(one.with_learned(stepped), kept)

    return rule


RULES = MappingProxyType(
    {
        "fedadam": Named(adaptive("adam"), one_at_a_time=True),
        "fedyogi": Named(adaptive("yogi"), one_at_a_time=True),
        "fedadagrad": Named(adaptive("adagrad"), one_at_a_time=True),
    }
)
