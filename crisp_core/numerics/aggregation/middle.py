"""The middle of the sites, weight by weight: coordinate median and trimmed mean."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from crisp_core.arrays import Parameters
from crisp_core.numerics.aggregation.rule import Named, Outcome, Round, Rule


def coordinate_median(one: Round, memory: Parameters) -> Outcome:
    """Take the median over the sites of every single weight; case counts do not matter.

    Source:
        Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
        ICML 2018, definition 1.
    """
    del memory  # nothing is kept
    middles = {name: np.median(one.values(name), axis=0) for name in one.learned}
    notes = () if len(one.updates) > len("ab") else (_no_majority(len(one.updates)),)
    return Outcome(one.with_learned(middles), notes=notes)


def trimmed_mean(share: float = 0.2) -> Rule:
    """Drop floor(share x sites) of the smallest and of the largest values of every single weight.

    Args:
        share: In [0, 1/2).

    Raises:
        ValueError: If the share is out of range.

    Source:
        Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
        ICML 2018, definition 2.
    """
    if not 0 <= share < 1 / 2:
        message = f"share must be in [0, 0.5), got {share}"
        raise ValueError(message)

    def rule(one: Round, memory: Parameters) -> Outcome:
        del memory  # nothing is kept
        count = len(one.updates)
        cut = math.floor(share * count)
        means = {
            name: np.sort(one.values(name), axis=0)[cut : count - cut].mean(axis=0)
            for name in one.learned
        }
        return Outcome(
            one.with_learned(means), notes=() if cut else (_trims_nothing(share, count),)
        )

    return rule


def _trims_nothing(share: float, count: int) -> str:
    return (
        f"The trimmed mean dropped nothing: {share:g} of {count} sites is less than one. "
        "It was the unweighted mean."
    )


def _no_majority(count: int) -> str:
    return f"The median of {count} sites is their unweighted mean: it defends against nobody."


RULES = MappingProxyType(
    {"median": Named(coordinate_median), "trimmed-mean": Named(trimmed_mean())}
)
