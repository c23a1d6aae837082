"""Krum and Multi-Krum: believe the sites that have close neighbours."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from crisp_core.arrays import FloatArray, Parameters
from crisp_core.numerics.aggregation.rule import Named, Outcome, Round, Rule
from crisp_core.numerics.average import weighted_mean


def krum(faulty: int = 1, keep: int = 1) -> Rule:
    """Average the `keep` updates whose nearest neighbours are nearest.

    An update's score is the sum of its K - faulty - 2 smallest squared distances to others (at
    least one). With keep = 1 this is Krum, with more Multi-Krum, weighted by case count.

    Args:
        faulty: Sites that may lie, f. The proof needs K >= 2 f + 3 sites.
        keep: Updates that count.

    Raises:
        ValueError: If faulty is negative or keep is not positive.

    Source:
        Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
        NeurIPS 2017, section 4.
    """
    if faulty < 0 or keep < 1:
        message = f"faulty must be 0 or more and keep at least 1, got {faulty} and {keep}"
        raise ValueError(message)

    def rule(one: Round, memory: Parameters) -> Outcome:
        del memory  # nothing is kept
        count = len(one.updates)
        near = np.sort(_squared_distances(one), axis=1)[:, 1:]  # the first is the site itself
        scores = near[:, : max(1, count - faulty - 2)].sum(axis=1)
        chosen = sorted(np.argsort(scores, kind="stable")[:keep])
        picked = weighted_mean(
            [one.updates[site] for site in chosen], [one.weights[site] for site in chosen]
        )
        learned = {name: picked[name] for name in one.learned}
        return Outcome(one.with_learned(learned), notes=_premise(count, faulty))

    return rule


def _squared_distances(one: Round) -> FloatArray:
    """Return (sites, sites) over all learned arrays together."""
    total = np.zeros((len(one.updates),) * 2)
    for name in one.learned:
        flat = one.changes(name).reshape(len(one.updates), -1)
        for site, change in enumerate(flat):
            total[site] += ((flat - change) ** 2).sum(axis=1)
    return total


def _premise(count: int, faulty: int) -> tuple[str, ...]:
    needed = 2 * faulty + 3
    if count >= needed:
        return ()
    note = (
        f"Krum with {faulty} faulty sites is proven for {needed} sites or more; there were "
        f"{count}. It drops hospitals for being different, not for lying."
    )
    return (note,)


RULES = MappingProxyType({"krum": Named(krum()), "multi-krum": Named(krum(keep=2))})
