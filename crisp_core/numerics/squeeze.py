"""Squeeze loss: disagreement of clean and perturbed predictions where the hint is uncertain."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

Norm: TypeAlias = Literal["mean_square", "mean_absolute", "printed"]


def squeeze_loss(
    clean: torch.Tensor,
    perturbed: torch.Tensor,
    region: torch.Tensor,
    norm: Norm = "mean_square",
) -> torch.Tensor:
    """Measure how far N perturbed predictions lie from the clean one inside the region.

    "mean_square" is sum ((P - P_n) U)^2 / (N K |U|) over n, batch, classes and pixels;
    "mean_absolute" the same with |.|; "printed" the paper's sum of L2 norms over n, averaged
    over the batch, which grows with the image.

    Args:
        clean: (B, K, *space), probabilities P.
        perturbed: (N, B, K, *space), probabilities P_n.
        region: bool (B, 1, *space), U.
        norm: See above.

    Returns:
        A scalar, 0 for an empty region. Gradients flow to both predictions.

    Raises:
        ValueError: If shapes do not fit, N is 0 or the norm is unknown.
    """
    if len(perturbed) == 0:
        message = "the squeeze loss needs at least one perturbed prediction"
        raise ValueError(message)
    terms = [squeeze_term(clean, one, region, norm, count=len(perturbed)) for one in perturbed]
    return torch.stack(terms).sum()


def squeeze_term(
    clean: torch.Tensor,
    one_perturbed: torch.Tensor,
    region: torch.Tensor,
    norm: Norm = "mean_square",
    *,
    count: int,
) -> torch.Tensor:
    """Return one perturbation's part of `squeeze_loss`, so that each can be back-propagated alone.

    Args:
        clean: (B, K, *space), probabilities.
        one_perturbed: (B, K, *space), probabilities.
        region: bool (B, 1, *space).
        norm: See `squeeze_loss`.
        count: N, the number of terms that will be summed.

    Returns:
        A scalar. The terms of all perturbations sum to `squeeze_loss`.
    """
    _check_shapes(clean, one_perturbed, region)
    difference = (clean - one_perturbed) * region
    size = count * clean.shape[1] * region.sum().clamp(min=1)
    if norm == "mean_square":
        return difference.square().sum() / size
    if norm == "mean_absolute":
        return difference.abs().sum() / size
    if norm == "printed":  # the gradient of this norm at 0 is 0 in torch, not NaN
        lengths: torch.Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1)
        return lengths.mean()
    message = f"norm must be mean_square, mean_absolute or printed, got {norm!r}"
    raise ValueError(message)


def _check_shapes(clean: torch.Tensor, other: torch.Tensor, region: torch.Tensor) -> None:
    if clean.shape != other.shape or region.shape != (len(clean), 1, *clean.shape[2:]):
        message = (
            f"clean is {tuple(clean.shape)}, perturbed {tuple(other.shape)}, "
            f"region {tuple(region.shape)}: expected (B, K, *space) twice and (B, 1, *space)"
        )
        raise ValueError(message)
