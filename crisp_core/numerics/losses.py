"""Segmentation losses: soft Dice of the foreground classes, alone or with cross entropy."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch.nn import functional

LossForm: TypeAlias = Literal["dice", "dice_ce"]
SMOOTHING = 1e-5
"""Keeps 0 / 0 away; too small to be seen where a class has a pixel."""


def one_hot(labels: torch.Tensor, class_count_with_background: int) -> torch.Tensor:
    """Turn integer labels (B, *space) into float32 (B, K, *space).

    Raises:
        ValueError: If a label is negative or not below K.
    """
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < (
        class_count_with_background
    ):
        message = (
            f"labels must be 0 to {class_count_with_background - 1}, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
        raise ValueError(message)
    shape = (len(labels), class_count_with_background, *labels.shape[1:])
    return torch.zeros(shape, device=labels.device).scatter_(1, labels.unsqueeze(1).long(), 1.0)


def dice_loss(probabilities: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return 1 - mean over foreground classes of 2 sum(P Y) / (sum P + sum Y + 1e-5).

    Sums run over batch and pixels, so that a slice without a structure is no special case.

    Args:
        probabilities: (B, K, *space), background first.
        reference: (B, K, *space), 0 or 1.

    Returns:
        A scalar in [0, 1]: 0 for a perfect answer (up to the smoothing), 1 without overlap.
    """
    predicted, true = probabilities[:, 1:], reference[:, 1:]
    axes = (0, *range(2, probabilities.ndim))
    overlap = (predicted * true).sum(axes)
    size = predicted.sum(axes) + true.sum(axes)
    return 1 - (2 * overlap / (size + SMOOTHING)).mean()


def segmentation_loss(
    logits: torch.Tensor, labels: torch.Tensor, form: LossForm = "dice"
) -> torch.Tensor:
    """Score logits (B, K, *space) against integer labels (B, *space).

    Half precision is upcast: the sums over a batch overflow float16.

    Returns:
        A scalar: the Dice loss, with form "dice_ce" plus the mean cross entropy of all classes.

    Raises:
        ValueError: If the form is unknown or a label is out of range.
    """
    if form not in {"dice", "dice_ce"}:
        message = f"form must be dice or dice_ce, got {form!r}"
        raise ValueError(message)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    log_probabilities = functional.log_softmax(wide, dim=1)
    loss = dice_loss(log_probabilities.exp(), one_hot(labels, logits.shape[1]))
    if form == "dice_ce":
        loss = loss + functional.nll_loss(log_probabilities, labels.long())
    return loss
