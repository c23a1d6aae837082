"""One case through the network: the same where a model is measured and where it is used."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crisp_client.cases import with_neighbours
from crisp_client.device import Workbench
from crisp_core.arrays import BoolArray, FloatArray
from crisp_core.files.orientation import Grid
from crisp_core.files.preprocess import Placement, restore_mask, restore_probabilities
from crisp_core.model.from_study import hint_options_of
from crisp_core.model.hinting import KeyedNoise
from crisp_core.model.refine import Pass, Refinement, refine
from crisp_core.model.segmenter import Segmenter
from crisp_core.schema.study import Study


@dataclass(frozen=True)
class Restored:
    """One recursion on the volume's own grid.

    Attributes:
        probabilities: float32 (D, K, H, W), channel 0 background.
        core: (D, C, H, W).
        support: (D, C, H, W).
    """

    probabilities: FloatArray
    core: BoolArray
    support: BoolArray


def refine_case(
    segmenter: Segmenter,
    images: FloatArray,
    study: Study,
    recursions: int,
    noise_key: str,
    bench: Workbench,
) -> Refinement:
    """Segment one prepared case as the study says: its hints, its guard, noise keyed by the case.

    Args:
        segmenter: On the bench.
        images: float32 (D, C, h, w) on the study's grid.
        study: Of the segmenter.
        recursions: Number of passes.
        noise_key: Equal keys and images give equal answers.
        bench: Where to compute.

    Raises:
        ValueError: If the network answers with numbers that are not finite.
    """
    stacked: torch.Tensor = with_neighbours(images, study.model.slices_in)
    with bench.autocast():
        return refine(
            segmenter,
            stacked,
            recursions,
            hint_options_of(study),
            lambda g: KeyedNoise(study.seed, noise_key, g + 1),
            guarded=study.crisp.guard == "entropy",
        )


def restored(one: Pass, placement: Placement, grid: Grid) -> Restored:
    """Bring one pass back to the volume's own slices."""
    return Restored(
        probabilities=restore_probabilities(one.probabilities.cpu().numpy(), placement, grid),
        core=restore_mask(one.core.cpu().numpy(), placement, grid),
        support=restore_mask(one.support.cpu().numpy(), placement, grid),
    )
