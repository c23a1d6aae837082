"""One recursion brought back to the volume's own grid, where it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_client.inference import restored
from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.files.cache import PreparedCase
from crisp_core.files.preprocess import restore_values
from crisp_core.model.refine import Pass


@dataclass(frozen=True)
class NativePass:
    """One recursion on the native grid.

    Attributes:
        labels: (D, H, W).
        probabilities: float32 (D, K, H, W), background first.
        core: bool (D, C, H, W).
        support: bool (D, C, H, W).
        information: float32 (D, H, W), nats that the perturbations disagree about.
        entropy: The guard's figure.
    """

    labels: IntArray
    probabilities: FloatArray
    core: BoolArray
    support: BoolArray
    information: FloatArray
    entropy: float


def native_pass(one: Pass, prepared: PreparedCase) -> NativePass:
    """Bring one recursion of a prepared case back to its volume's grid."""
    placement, grid = prepared.placement, prepared.grid
    back = restored(one, [placement], grid)
    return NativePass(
        labels=back.probabilities.argmax(axis=1).astype(np.uint8),
        probabilities=back.probabilities,
        core=back.core,
        support=back.support,
        information=restore_values(one.information.cpu().numpy(), placement, grid),
        entropy=one.entropy,
    )
