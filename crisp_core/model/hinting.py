"""Hints of one case: encode once, decode perturbed, and keep what all decodes rank alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from crisp_core.model.perturbation import (
    MEMORY_BOUND_BYTES,
    EncodedCase,
    KeyedNoise,
    Noise,
    joined,
)
from crisp_core.model.segmenter import Segmenter, evaluating
from crisp_core.numerics.grades import Instance, RangeOver
from crisp_core.numerics.hints import GradeTally, binary_hint, null_hint, rank_hint
from crisp_core.numerics.odds import Odds

__all__ = ["HintOptions", "Hints", "KeyedNoise", "Noise", "make_hints"]


@dataclass(frozen=True)
class HintOptions:
    """How hints are made; `numerics.grades` and `numerics.hints` say what each word means.

    `stacks` is the number of windows over one volume, one after another along the slices: they
    share their ranges, and no slice is the neighbour of one in another window.
    """

    form: Literal["binary", "rank"] = "rank"
    neighbours: int = 1
    perturbations: int = 10
    sigma: float = 0.35
    levels: int = 5
    range_over: RangeOver = "class_fg"
    instance: Instance = "volume"
    log_odds_clip: float | None = None
    stacks: int = 1


@dataclass(frozen=True)
class Hints:
    """What a network is sure of in one case, after N perturbations.

    Attributes:
        core: bool (D, C, H, W).
        support: bool (D, C, H, W), core inside it.
        grade_sums: int32 (D, C, H, W), 0 .. N (levels - 1).
        hint: float32 (D, 2C, H, W), input channels of the next recursion.
        labels: int64 (D, H, W), the unperturbed answer.
        noise_ratio: See `perturbation.noise_ratio`.
    """

    core: torch.Tensor
    support: torch.Tensor
    grade_sums: torch.Tensor
    hint: torch.Tensor
    labels: torch.Tensor
    noise_ratio: float


def make_hints(
    segmenter: Segmenter,
    images: torch.Tensor,
    hint: torch.Tensor | None,
    options: HintOptions,
    noise: Noise,
    memory_bound_bytes: int = MEMORY_BOUND_BYTES,
) -> Hints:
    """Make the hints of one case, in evaluation mode and without gradients.

    Memory does not grow with N, and the chunks are the same whatever the bound: the result
    depends on network, case, options and noise alone.

    Args:
        segmenter: M.
        images: (D, d, H, W), all slices of one volume in order, on any device.
        hint: (D, 2C, H, W) of the recursion before; None: the null hint.
        options: How.
        noise: Keyed by slice and n.
        memory_bound_bytes: Encodings beyond this are made anew for every perturbation.

    Raises:
        ValueError: If a logit is not finite, or shapes do not fit the segmenter.
    """
    with evaluating(segmenter):
        encoded = EncodedCase(
            segmenter, network_inputs(segmenter, images, hint), memory_bound_bytes
        )
        return hints_of(encoded, encoded.clean_logits(), options, noise)


def hints_of(
    encoded: EncodedCase,
    clean_logits: torch.Tensor,
    options: HintOptions,
    noise: Noise,
    watch: Callable[[int, Odds], None] | None = None,
) -> Hints:
    """Make hints of a case that is already encoded; see `make_hints`.

    `watch` is shown the odds of each perturbation, some slices at a time and the number of the
    first of them, so that nobody draws them anew.
    """
    tally = GradeTally(options.levels, options.range_over, options.instance, options.log_odds_clip)
    for n in range(options.perturbations):
        for first, odds in encoded.perturbed_odds(n, noise, options.sigma):
            tally.note(odds)
            if watch is not None:
                watch(first, odds)
        tally.close()
    return Hints(
        core=tally.core,
        support=tally.support,
        grade_sums=tally.grade_sums,
        hint=_hint_channels(tally, options),
        labels=clean_logits.max(dim=1).indices,
        noise_ratio=encoded.noise_ratio(options.sigma),
    )


def network_inputs(
    segmenter: Segmenter, images: torch.Tensor, hint: torch.Tensor | None
) -> torch.Tensor:
    """Join images (D, d, H, W) and hints (D, 2C, H, W) on the segmenter's device.

    None is the null hint; a network that takes no hints gets none.

    Raises:
        ValueError: If the channels are not those of the segmenter.
    """
    device = next(segmenter.parameters()).device
    images, classes = images.to(device), segmenter.class_count
    parts = [images]
    if segmenter.input_channels > images.shape[1]:
        null = null_hint(len(images), classes, tuple(images.shape[2:]), device=device)
        parts.append(null if hint is None else hint.to(device))
    channels = [part.shape[1] for part in parts]
    if sum(channels) != segmenter.input_channels:
        message = f"the segmenter takes {segmenter.input_channels} channels, got {channels}"
        raise ValueError(message)
    return torch.cat(parts, dim=1)


def _hint_channels(tally: GradeTally, options: HintOptions) -> torch.Tensor:
    if options.form == "binary":
        return binary_hint(tally.core, tally.support)
    stacks = zip(tally.ranks.chunk(options.stacks), tally.core.chunk(options.stacks), strict=True)
    return joined([rank_hint(ranks, core, options.neighbours) for ranks, core in stacks])
