"""Can a hospital be told from what lies behind the anatomy? Then a network may use it as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crisp_core.arrays import BoolArray, FloatArray, IntArray

Words: TypeAlias = npt.NDArray[np.str_]
BINS = 16
SHRINKAGE = 0.1
"""Share of the pooled covariance that is replaced by its diagonal mean."""
FEWEST_PATIENTS = 2


@dataclass(frozen=True)
class ProbeResult:
    """How often a case's site is recognised.

    Attributes:
        accuracy: Mean over sites of the share of their cases that are recognised.
        chance: What guessing gives: one over the number of sites.
        site_count: Sites with at least two patients; the others cannot be probed.
        case_count: Cases of those sites.
    """

    accuracy: float
    chance: float
    site_count: int
    case_count: int


def background_figures(images: FloatArray, labels: IntArray) -> FloatArray:
    """Describe a prepared volume where nothing is labelled.

    Args:
        images: (D, C, H, W) between -1 and 1.
        labels: (D, H, W), 0 is background.

    Returns:
        float64 (18,): shares of 16 intensity bins, mean step between neighbouring columns and
        mean step between neighbouring rows, of the first channel.
    """
    first, behind = np.asarray(images)[:, 0].astype(np.float64), np.asarray(labels) == 0
    counts, _ = np.histogram(first[behind], bins=BINS, range=(-1, 1))
    steps = [_mean(np.abs(np.diff(first, axis=axis))[_both(behind, axis)]) for axis in (2, 1)]
    return np.array([*(counts / max(1, counts.sum())), *steps])


def _both(behind: BoolArray, axis: int) -> BoolArray:
    low, high = (np.moveaxis(behind, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
    return np.moveaxis(low & high, 0, axis)


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else 0.0


def site_probe(
    figures: FloatArray, sites: Sequence[str], patients: Sequence[str]
) -> ProbeResult | None:
    """Recognise every case's site by linear discriminants that have not seen its patient.

    Args:
        figures: (cases, figures).
        sites: The site of each case.
        patients: The patient of each case.

    Returns:
        None with fewer than two sites of at least two patients.

    Source:
        Fisher, "The use of multiple measurements in taxonomic problems", 1936; the covariance is
        shrunk towards its diagonal mean.
    """
    where = np.array(sites)
    who = np.array([f"{site}/{one}" for site, one in zip(sites, patients, strict=True)])
    probed = [s for s in sorted(set(sites)) if len(set(who[where == s])) >= FEWEST_PATIENTS]
    kept = np.isin(where, probed)
    if len(probed) < FEWEST_PATIENTS:
        return None
    every, where, who = _standard(np.asarray(figures)[kept]), where[kept], who[kept]
    right = np.zeros(len(where), bool)
    for patient in sorted(set(who)):
        out = who == patient
        right[out] = _told(every[~out], where[~out], probed, every[out]) == where[out]
    accuracy = float(np.mean([right[where == site].mean() for site in probed]))
    return ProbeResult(accuracy, 1 / len(probed), len(probed), len(where))


def _standard(figures: FloatArray) -> FloatArray:
    spread = figures.std(axis=0)
    return np.asarray((figures - figures.mean(axis=0)) / np.where(spread > 0, spread, 1))


def _told(figures: FloatArray, where: Words, sites: Sequence[str], asked: FloatArray) -> Words:
    """Return the nearest site of each asked case in the metric of the pooled covariance."""
    means = np.stack([figures[where == site].mean(axis=0) for site in sites])
    rest = figures - means[np.searchsorted(sites, where)]
    pooled = rest.T @ rest / max(1, len(rest) - len(sites))
    ridge = max(float(np.trace(pooled)) / len(pooled), np.finfo(float).eps)
    metric = np.linalg.inv((1 - SHRINKAGE) * pooled + SHRINKAGE * ridge * np.eye(len(pooled)))
    apart = asked[:, None] - means
    distances = np.einsum("nsf,fg,nsg->ns", apart, metric, apart)
    return np.asarray(np.array(sites)[distances.argmin(axis=1)])
