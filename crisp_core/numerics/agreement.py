"""Figures of convergence: do core and support agree with the truth, and do they still move."""

from __future__ import annotations

import torch


def mask_agreement(
    mask: torch.Tensor, reference: torch.Tensor
) -> tuple[float | None, float | None]:
    """Return precision and recall of a mask against a reference.

    Args:
        mask: bool, any shape: a core or a support.
        reference: bool, the same shape.

    Returns:
        (share of the mask inside the reference, share of the reference inside the mask); None
        where the mask, or the reference, is empty.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_shapes(mask, reference)
    overlap, size, true = (int(m.count_nonzero()) for m in (mask & reference, mask, reference))
    return (overlap / size if size else None), (overlap / true if true else None)


def coverage(mask: torch.Tensor) -> float:
    """Return the share of true values: of a support its coverage, of a region its extent.

    Raises:
        ValueError: If the mask has no element.
    """
    if mask.numel() == 0:
        message = f"a mask of shape {tuple(mask.shape)} has no coverage"
        raise ValueError(message)
    return int(mask.count_nonzero()) / mask.numel()


def changed_share(before: torch.Tensor, after: torch.Tensor) -> float:
    """Return the share of elements (labels, hint bits or grade sums) that differ.

    Raises:
        ValueError: If the shapes differ or there is no element.
    """
    _check_shapes(before, after)
    return coverage(before != after)


def _check_shapes(first: torch.Tensor, second: torch.Tensor) -> None:
    if first.shape != second.shape:
        message = f"first is {tuple(first.shape)} but second is {tuple(second.shape)}"
        raise ValueError(message)
