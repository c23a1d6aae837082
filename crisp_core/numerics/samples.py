"""A batch changed sample by sample, in place: one sample fits a processor's cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch.nn import functional

Step: TypeAlias = tuple[Callable[..., None], *tuple[torch.Tensor, ...]]
"""A change of one sample (ch, H, W) in place, and its parameters, one value per sample each."""


def changed(images: torch.Tensor, *steps: Step) -> torch.Tensor:
    """Copy a batch (B, ch, H, W) and `change` the copy."""
    result = images.clone(memory_format=torch.contiguous_format)
    change(result, *steps)
    return result


def change(images: torch.Tensor, *steps: Step) -> None:
    """Lead each sample through all steps, in place, before the next one.

    Args:
        images: (B, ch, H, W), contiguous.
        *steps: Each change gets a sample, and that sample's value of every parameter: a number
            of (B,), a tensor of (B, n).

    Raises:
        ValueError: If a parameter is for another number of samples.
    """
    plans = [(step, [_values(of) for of in parameters]) for step, *parameters in steps]
    for _, parameters in plans:
        if any(len(values) != len(images) for values in parameters):
            message = f"{len(images)} samples but {[*map(len, parameters)]} values of a parameter"
            raise ValueError(message)
    for index, image in enumerate(images):
        for step, parameters in plans:
            step(image, *(values[index] for values in parameters))


def weighted_rows(
    planes: torch.Tensor, places: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Make every row a weighted sum of rows of its own plane.

    Args:
        planes: (ch, H, W).
        places: int64 (R, T), the rows that are summed, 0..H-1.
        weights: (R, T), what each counts.

    Returns:
        (ch, R, W): row r is sum over t of weights[r, t] * planes[:, places[r, t]].

    Examples:
        >>> planes = torch.tensor([[[1.0, 2.0], [3.0, 5.0]]])
        >>> weighted_rows(planes, torch.tensor([[0, 1]]), torch.tensor([[0.5, 1.0]])).tolist()
        [[[3.5, 6.0]]]
    """
    channels, height, width = planes.shape
    if channels > 1:
        first = height * torch.arange(channels, device=planes.device)
        places = (places + first.view(-1, 1, 1)).flatten(0, 1)
        weights = weights.repeat(channels, 1)
    rows = functional.embedding_bag(
        places,
        planes.reshape(-1, width).contiguous(),
        mode="sum",
        per_sample_weights=weights.contiguous(),
    )
    return rows.view(channels, -1, width)


def convolved(maps: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Convolve a few maps with small kernels; outside they are 0.

    `conv2d` of one or two channels takes more than twice as long on a CPU: its blocks hold eight.

    Args:
        maps: (B, I, H, W).
        kernels: (O, I, s, s), s odd.

    Returns:
        (B, O, H, W).
    """
    size, (count, entering, height, width) = kernels.shape[-1], maps.shape
    if size == 1:
        return (kernels[..., 0, 0] @ maps.flatten(2)).view(count, -1, height, width)
    places = _places(height, size, entering, size * len(kernels), maps.device)
    inside = _inside(height, size, maps.dtype, maps.device)
    weights = kernels.permute(3, 0, 1, 2).flatten(0, 1).unsqueeze(1) * inside
    rows = weighted_rows(maps.flatten(1, 2), places, weights.reshape(places.shape))
    columns = rows.view(count, size, -1, height, width)
    result = columns[:, size // 2]
    for reach in range(1, size // 2 + 1):
        left, right = columns[:, size // 2 - reach], columns[:, size // 2 + reach]
        result[..., reach:] += left[..., :-reach]
        result[..., :-reach] += right[..., reach:]
    return result


@lru_cache(maxsize=64)
def rows_around(height: int, reach: int, device: torch.device) -> torch.Tensor:
    """Return int64 (height, 2 reach + 1): each row's neighbours, outside the image too."""
    steps = torch.arange(-reach, reach + 1, device=device)
    return torch.arange(height, device=device)[:, None] + steps


@lru_cache(maxsize=64)
def _places(height: int, size: int, planes: int, times: int, device: torch.device) -> torch.Tensor:
    """Return int64 (times * height, planes * size): the rows around each row in every plane."""
    rows = rows_around(height, size // 2, device).clamp(0, height - 1)
    first = height * torch.arange(planes, device=device)
    return (first[:, None] + rows.unsqueeze(1)).flatten(1).repeat(times, 1)


@lru_cache(maxsize=16)
def _inside(height: int, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return (height, 1, size): 1 where a row around each row is in the image, else 0."""
    rows = rows_around(height, size // 2, device).unsqueeze(1)
    return ((rows >= 0) & (rows < height)).to(dtype)


def _values(of: torch.Tensor) -> list[Any]:
    return of.tolist() if of.ndim == 1 else list(of.cpu().unbind())
