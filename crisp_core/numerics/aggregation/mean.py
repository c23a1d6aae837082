"""The weighted mean, and the mean followed by a step with momentum."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from crisp_core.arrays import Parameters
from crisp_core.numerics.aggregation.rule import Named, Outcome, Round, Rule


def mean(one: Round, memory: Parameters) -> Outcome:
    """Average the updates, each counted by its weight (FedAvg).

    Source:
        McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized
        Data", AISTATS 2017, algorithm 1.
    """
    del memory  # nothing is kept
    return Outcome(one.mean())


def momentum(decay: float = 0.9, rate: float = 1.0) -> Rule:
    """Take the mean change as a gradient and step along it with momentum (FedAvgM).

    Args:
        decay: beta; 0 with rate 1 is the plain mean.
        rate: eta, the server's learning rate.

    Source:
        Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
        Visual Classification", 2019, section 4.3.
    """

    def rule(one: Round, memory: Parameters) -> Outcome:
        average = one.mean()
        speed = {
            name: decay * memory.get(name, 0.0)
            + (average[name].astype(np.float64) - one.current[name])
            for name in one.learned
        }
        stepped = {name: one.current[name] + rate * speed[name] for name in one.learned}
        return Outcome(one.with_learned(stepped), speed)

    return rule


RULES = MappingProxyType(
    {
        "fedavg": Named(mean, one_at_a_time=True),
        "fedavgm": Named(momentum(), one_at_a_time=True),
    }
)
