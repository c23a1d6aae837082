"""Norm clipping and the geometric median: no single site can move the model far."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from crisp_core.arrays import FloatArray, Parameters
from crisp_core.numerics.aggregation.rule import Named, Outcome, Round, Rule


def geometric_median(iterations: int = 10, smoothing: float = 1e-6) -> Rule:
    """Clip every change to the median norm, then take the point nearest to all sites (RFA).

    Weiszfeld's steps: each site counts by its weight divided by its distance to the present point,
    distances below `smoothing` count as `smoothing`.

    Args:
        iterations: Steps.
        smoothing: Least distance.

    Source:
        Pillutla, Kakade and Harchaoui, "Robust Aggregation for Federated Learning", IEEE TSP 2022,
        algorithm 2; clipping at the median norm.
    """

    def rule(one: Round, memory: Parameters) -> Outcome:
        del memory  # nothing is kept
        changes = {name: one.changes(name) for name in one.learned}
        norms = np.sqrt(_squares(changes))
        usual = np.median(norms)
        limits = np.divide(usual, norms, out=np.ones_like(norms), where=norms > usual)
        clipped = {name: _scaled(array, limits) for name, array in changes.items()}
        weights = np.asarray(one.weights, np.float64) / sum(one.weights)
        point = {name: np.tensordot(weights, array, 1) for name, array in clipped.items()}
        for _ in range(iterations):
            apart = np.sqrt(_squares({n: array - point[n] for n, array in clipped.items()}))
            pull = weights / np.maximum(apart, smoothing)
            point = {n: np.tensordot(pull / pull.sum(), array, 1) for n, array in clipped.items()}
        return Outcome(one.with_learned({n: one.current[n] + point[n] for n in one.learned}))

    return rule


def _squares(changes: dict[str, FloatArray]) -> FloatArray:
    """Return each site's sum of squares over all arrays."""
    parts = [(array**2).reshape(len(array), -1).sum(axis=1) for array in changes.values()]
    return np.asarray(np.sum(parts, axis=0))


def _scaled(array: FloatArray, factors: FloatArray) -> FloatArray:
    return np.asarray(array * factors.reshape(-1, *(1,) * (array.ndim - 1)))


RULES = MappingProxyType({"geometric-median": Named(geometric_median())})
