"""MixStyle inside a network: after its first two stages, while it trains and at no other time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from crisp_core.errors import StudyError
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.mixstyle import MixDraw, mix_style

STAGES = 2


@contextmanager
def mixing(segmenter: Segmenter, draw: Callable[[int], MixDraw]) -> Iterator[None]:
    """Mix the features of every training pass inside the block.

    Args:
        segmenter: In training mode; in evaluation mode nothing is mixed.
        draw: Number of samples -> partners and shares, asked anew at each stage.

    Raises:
        StudyError: If the network has no stages that are known.
    """

    def hook(module: nn.Module, _: Any, features: torch.Tensor) -> torch.Tensor | None:  # noqa: ANN401 - as torch calls it
        return mix_style(features, draw(len(features))) if module.training else None

    handles = [stage.register_forward_hook(hook) for stage in first_stages(segmenter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_stages(segmenter: Segmenter) -> tuple[nn.Module, ...]:
    """Return the modules after which the first two resolutions are complete.

    Raises:
        StudyError: If they are not known for this network.
    """
    stages = segmenter.style_stages
    if len(stages) < STAGES:
        raise StudyError(
            expected='an architecture whose first stages are known ("small")',
            got=type(segmenter).__name__,
            where="training.mixstyle",
            fix="Leave mixstyle out, or choose another architecture",
        )
    return stages[:STAGES]
