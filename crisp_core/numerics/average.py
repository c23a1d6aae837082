"""Federated averaging: the case-weighted mean of what the sites return."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from crisp_core.arrays import AnyArray, Parameters


def weighted_mean(updates: Iterable[Parameters], weights: Sequence[float]) -> dict[str, AnyArray]:
    """Average `updates` name by name, each counted by its weight.

    Each update is seen once and may then be dropped, so `updates` can be a generator. The
    running sum is float64: the order of the sites can move the last float32 bit, no more.
    Integer arrays (BatchNorm's step counter) have no mean; they take the maximum.

    Args:
        updates: One mapping per site, all with the same names, shapes and dtypes. Not modified.
        weights: One positive number per update, usually the site's case count.

    Returns:
        New arrays in the first update's order and dtypes. One update alone returns itself bit
        for bit; scaling every weight by one factor changes nothing.

    Raises:
        ValueError: If there is no update, a weight is not positive and finite, there are more or
            fewer weights than updates, or names, shapes or dtypes differ.

    Source:
        McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized
        Data", AISTATS 2017, algorithm 1.

    Examples:
        >>> a, b = {"w": np.float32([0, 0])}, {"w": np.float32([4, 8])}
        >>> weighted_mean([a, b], weights=[3, 1])["w"].tolist()
        [1.0, 2.0]
    """
    if not weights or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        message = f"weights must be positive and finite, one per update, got {list(weights)}"
        raise ValueError(message)
    total = math.fsum(weights)
    sums: dict[str, AnyArray] = {}
    dtypes: dict[str, np.dtype[np.generic]] = {}
    for number, (update, weight) in enumerate(zip(updates, weights, strict=True)):
        if number == 0:
            dtypes = {name: array.dtype for name, array in update.items()}
            sums = {name: _term(array, weight / total) for name, array in update.items()}
        else:
            _check_same(update, sums, dtypes, number)
            for name, array in update.items():
                _accumulate(sums[name], _term(array, weight / total))
    return {name: array.astype(dtypes[name], copy=False) for name, array in sums.items()}


def _term(array: AnyArray, share: float) -> AnyArray:
    if array.dtype.kind != "f":
        return array.copy()
    return np.asarray(np.multiply(array, share, dtype=np.float64))


def _accumulate(running: AnyArray, term: AnyArray) -> None:
    combine = np.add if running.dtype.kind == "f" else np.maximum
    combine(running, term, out=running)


def _check_same(
    update: Parameters,
    sums: Parameters,
    dtypes: dict[str, np.dtype[np.generic]],
    number: int,
) -> None:
    if update.keys() != sums.keys():
        odd = sorted(update.keys() ^ sums.keys())
        message = f"update {number} and update 0 differ in the names {odd[:5]}"
        raise ValueError(message)
    for name, array in update.items():
        if array.shape != sums[name].shape or array.dtype != dtypes[name]:
            message = (
                f"{name!r} is {array.dtype} {array.shape} in update {number} "
                f"but {dtypes[name]} {sums[name].shape} in update 0"
            )
            raise ValueError(message)
