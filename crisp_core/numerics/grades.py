"""Grade maps: the log-odds of each class, cut into equal bins between their extremes."""

from __future__ import annotations

from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

import torch

RangeOver: TypeAlias = Literal["joint_fg", "class_fg", "joint_all"]
Instance: TypeAlias = Literal["slice", "volume"]
LEVELS_LIMIT = 256
"""Sums of grades over perturbations are held in float32, exact up to 2^24."""


class Graded(NamedTuple):
    """Grades 0..levels-1 and the places where they say nothing.

    Attributes:
        grades: Whole numbers, float (N, B, C, *space). 0 where flat.
        flat: bool (N, B, C). True where all log-odds of the range are equal.
    """

    grades: torch.Tensor
    flat: torch.Tensor


def log_odds(
    logits: torch.Tensor, *, space_dims: int = 2, with_background: bool = False
) -> torch.Tensor:
    """Turn logits into ln(p / (1 - p)) per class without passing through p.

    S_c = z_c - logsumexp of the other classes. A float32 softmax saturates at 1 and its logit
    becomes infinite; this form is exact for any finite logits. Half precision is upcast.

    Args:
        logits: (..., K, *space), background first.
        space_dims: Number of axes after the class axis.
        with_background: Keep class 0.

    Returns:
        float32 or float64 (..., C, *space) with C = K - 1, or all K with background.
        Adding one number to all logits of a pixel changes nothing.

    Raises:
        ValueError: If there are fewer than two classes or a value is not finite.

    Examples:
        >>> log_odds(torch.tensor([[[0.0]], [[3.0]]])).tolist()
        [[[3.0]]]
    """
    axis = logits.ndim - space_dims - 1
    wide, first = upcast(logits), 0 if with_background else 1
    planes = torch.unbind(wide, axis)
    if len(planes) < 2:  # noqa: PLR2004 - background and one structure
        message = f"log-odds need at least two classes, logits are {tuple(logits.shape)}"
        raise ValueError(message)
    others = torch.stack(_others(planes, first), axis)
    scores = others.neg_().add_(wide.narrow(axis, first, len(planes) - first))
    if not bool(torch.isfinite(scores.sum())):
        message = f"logits {tuple(logits.shape)} hold NaN or infinite values"
        raise ValueError(message)
    return scores


def graded(
    logits: torch.Tensor,
    levels: int,
    range_over: RangeOver,
    instance: Instance,
    log_odds_clip: float | None = None,
) -> Graded:
    """Grade perturbed logits; `grade_map` documents the arguments."""
    check_options(levels, range_over, instance)
    class_count = logits.shape[2] - 1
    scores = log_odds(logits, space_dims=logits.ndim - 3, with_background=range_over == "joint_all")
    if log_odds_clip is not None:
        scores = scores.clamp(-log_odds_clip, log_odds_clip)
    axes = _range_axes(scores.ndim, range_over, instance)
    low, high = scores.amin(axes, keepdim=True), scores.amax(axes, keepdim=True)
    grades = cut_(scores[:, :, -class_count:], low, width_of(low, high), levels)
    flat = (low == high).flatten(2)[:, :, :class_count]
    return Graded(grades, flat.expand(grades.shape[:3]))


def width_of(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Return high - low; 1 where there is no range, so that every grade is 0 there."""
    width = high - low
    return width.masked_fill_(width == 0, 1)


def cut_(scores: torch.Tensor, low: torch.Tensor, width: torch.Tensor, levels: int) -> torch.Tensor:
    """Turn scores into grades 0..levels-1, in place: equal bins from low on.

    `low` and `width_of` the range are of shapes that broadcast to that of the scores.
    """
    scaled = scores.sub_(low).mul_(levels).div_(width)
    return scaled.clamp_(max=levels - 1).floor_()  # trunc_ takes forty times as long on a CPU


def grade_map(
    logits: torch.Tensor,
    levels: int = 5,
    range_over: RangeOver = "class_fg",
    instance: Instance = "slice",
    log_odds_clip: float | None = None,
) -> torch.Tensor:
    """Cut the log-odds into `levels` equal bins between the extremes of their range.

    Args:
        logits: (N, B, K, *space), one entry of N per perturbation, background first.
        levels: Number of bins, 2 to 256.
        range_over: "class_fg": each foreground class its own extremes; "joint_fg": all
            foreground classes share them; "joint_all": the background takes part.
        instance: "slice": each of the B items its own extremes; "volume": the B items are
            one volume.
        log_odds_clip: Clamp log-odds to +-this first. Destroys the rank property.

    Returns:
        int64 (N, B, C, *space), 0..levels-1; 0 where the range is a single value.

    Raises:
        ValueError: If an option is unknown or a logit is not finite.

    Examples:
        >>> z = torch.zeros(1, 1, 2, 1, 6)
        >>> z[0, 0, 1, 0] = torch.tensor([-5.0, -3, -1, 1, 3, 5])
        >>> grade_map(z).flatten().tolist()
        [0, 1, 2, 3, 4, 4]
    """
    return graded(logits, levels, range_over, instance, log_odds_clip).grades.long()


def upcast(tensor: torch.Tensor) -> torch.Tensor:
    """Return half precision as float32, anything else as it is."""
    return tensor.float() if tensor.dtype in {torch.float16, torch.bfloat16} else tensor


def _others(planes: tuple[torch.Tensor, ...], first: int) -> list[torch.Tensor]:
    """Return for every class from `first` (0 or 1) on the logsumexp of all others."""
    before = list(accumulate(planes[:-1], torch.logaddexp))
    after = list(accumulate(planes[:first:-1], torch.logaddexp))[::-1]
    of_background, after = after[: 1 - first], after[1 - first :]
    between = [torch.logaddexp(b, a) for b, a in zip(before[:-1], after, strict=True)]
    return [*of_background, *between, before[-1]]


def _range_axes(ndim: int, range_over: RangeOver, instance: Instance) -> tuple[int, ...]:
    batch = (1,) if instance == "volume" else ()
    classes = () if range_over == "class_fg" else (2,)
    return (*batch, *classes, *range(3, ndim))


def check_options(levels: int, range_over: str, instance: str) -> None:
    """Refuse options of grades that mean nothing.

    Raises:
        ValueError: If one is unknown, or there are too few or too many levels.
    """
    if not 2 <= levels <= LEVELS_LIMIT:  # noqa: PLR2004 - one level cannot rank
        message = f"levels must be 2 to {LEVELS_LIMIT}, got {levels}"
        raise ValueError(message)
    if range_over not in {"joint_fg", "class_fg", "joint_all"}:
        message = f"range_over must be joint_fg, class_fg or joint_all, got {range_over!r}"
        raise ValueError(message)
    if instance not in {"slice", "volume"}:
        message = f"instance must be slice or volume, got {instance!r}"
        raise ValueError(message)
