"""One case through the network: the same where a model is measured and where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from crisp_client.cases import with_neighbours
from crisp_client.device import Workbench
from crisp_core.arrays import BoolArray, FloatArray
from crisp_core.files.orientation import Grid
from crisp_core.files.preprocess import Placement, restore_mask, restore_probabilities
from crisp_core.files.windows import blend_masks, blend_windows
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
        images: float32 (W, D, C, h, w) on the study's grid: W windows over the case, mostly one;
            they are ranked and guarded as one volume, and no slice neighbours another window's.
        study: Of the segmenter.
        recursions: Number of passes.
        noise_key: Equal keys and images give equal answers.
        bench: Where to compute.

    Raises:
        ValueError: If the network answers with numbers that are not finite.
    """
    stacked = torch.cat([with_neighbours(part, study.model.slices_in) for part in images])
    with bench.autocast():
        return refine(
            segmenter,
            stacked,
            recursions,
            replace(hint_options_of(study), stacks=len(images)),
            lambda g: KeyedNoise(study.seed, noise_key, g + 1),
            guarded=study.crisp.guard == "entropy",
        )


def restored(one: Pass, placements: Sequence[Placement], grid: Grid) -> Restored:
    """Bring one pass back to the volume's own slices from the window, or windows, it was made in.

    Where no window reaches, the answer is background.
    """
    probabilities, core, support = (
        part.cpu().numpy() for part in (one.probabilities, one.core, one.support)
    )
    if len(placements) == 1:
        place = placements[0]
        return Restored(
            probabilities=restore_probabilities(probabilities, place, grid),
            core=restore_mask(core, place, grid),
            support=restore_mask(support, place, grid),
        )
    return Restored(
        probabilities=blend_windows(probabilities, placements, grid, outside=0.0),
        core=blend_masks(core, placements, grid),
        support=blend_masks(support, placements, grid),
    )
