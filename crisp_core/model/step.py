"""The training step of CRISP, one perturbation at a time: exact, in the memory of a plain step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch.utils.checkpoint import checkpoint

from crisp_core.model.normalisation import frozen_running_statistics
from crisp_core.model.perturbation import noise_ratio
from crisp_core.model.segmenter import Maps, Segmenter
from crisp_core.numerics.losses import LossForm, segmentation_loss
from crisp_core.numerics.squeeze import Norm, squeeze_term

StepNoise: TypeAlias = Callable[[int, tuple[int, ...]], torch.Tensor]
"""(n, shape) -> standard normal noise."""


@dataclass(frozen=True)
class StepOptions:
    """What is minimised; without weight or perturbations it is a plain step at a plain cost.

    Attributes:
        loss: Form of the segmentation loss.
        squeeze_weight: alpha, of the squeeze loss.
        squeeze_norm: See `numerics.squeeze.squeeze_loss`.
        perturbations: m, perturbed decodes in this step.
        sigma: Standard deviation of the perturbation, in units of the features.
        stop_perturbed: Let no gradient flow through the perturbed predictions.
    """

    loss: LossForm = "dice"
    squeeze_weight: float = 0.5
    squeeze_norm: Norm = "mean_square"
    perturbations: int = 2
    sigma: float = 0.35
    stop_perturbed: bool = False

    @property
    def plain(self) -> bool:
        """Tell whether there is nothing to squeeze."""
        return self.squeeze_weight == 0 or self.perturbations == 0


@dataclass(frozen=True)
class StepFigures:
    """Losses of one step: loss = segmentation + squeeze_weight * squeeze.

    `noise_ratio` is that of `perturbation.noise_ratio`.
    """

    loss: float
    segmentation: float
    squeeze: float
    noise_ratio: float


@dataclass(frozen=True)
class _Cut:
    """The clean pass, cut below the decoder and above the softmax: leaves that collect gradients.

    Attributes:
        skips: Detached skips.
        features: Detached features.
        probabilities: Detached clean probabilities, (B, K, H, W).
        region: bool (B, 1, H, W).
    """

    skips: Maps
    features: torch.Tensor
    probabilities: torch.Tensor
    region: torch.Tensor


def accumulate_gradients(
    segmenter: Segmenter,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    region: torch.Tensor,
    noise: StepNoise,
    options: StepOptions,
) -> StepFigures:
    """Add the gradients of segmentation + squeeze_weight * squeeze to the parameters'.

    Features and clean probabilities are detached; every perturbation is back-propagated into
    their gradients by itself, and these then travel once through the clean decoder and the
    encoder. The sum is that of the joint graph, which never exists.

    BatchNorm remembers the clean pass only.

    Args:
        segmenter: In training mode, usually.
        inputs: (B, input_channels, H, W).
        labels: Integers (B, H, W).
        region: bool (B, 1, H, W), where the squeeze acts.
        noise: (n, shape) -> standard normal noise, n = 0..m-1.
        options: What is minimised.
    """
    skips, features = segmenter.encode(inputs)
    if options.plain:
        return _plain(segmenter, skips, features, labels, options)
    leaf_skips, leaf_features = [_leaf(skip) for skip in skips], _leaf(features)
    logits = _decode_again_later(segmenter, leaf_skips, leaf_features)
    probabilities = _softmax(logits)
    cut = _Cut(leaf_skips, leaf_features, _leaf(probabilities), region)
    squeeze = torch.stack(
        [_squeeze_one(segmenter, cut, n, noise, options) for n in range(options.perturbations)]
    ).sum()
    segmentation = segmentation_loss(logits, labels, options.loss)
    torch.autograd.backward([segmentation, probabilities], [None, cut.probabilities.grad])
    _backward([features, *skips], [leaf_features, *leaf_skips])
    return _figures(segmentation, squeeze, features, options)


def _plain(
    segmenter: Segmenter,
    skips: Maps,
    features: torch.Tensor,
    labels: torch.Tensor,
    options: StepOptions,
) -> StepFigures:
    loss = segmentation_loss(segmenter.decode(skips, features), labels, options.loss)
    torch.autograd.backward(loss)
    return _figures(loss, torch.zeros_like(loss), features, options)


def _decode_again_later(
    segmenter: Segmenter, skips: Maps, features: torch.Tensor
) -> torch.Tensor:
    """Decode, forget what the gradient needs, and decode once more when it is needed.

    One forward decode pays for never holding two decoders' activations. Dropout repeats itself.
    """
    logits: torch.Tensor = checkpoint(
        segmenter.decode,
        skips,
        features,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), frozen_running_statistics(segmenter)),
    )
    return logits


def _squeeze_one(
    segmenter: Segmenter, cut: _Cut, n: int, noise: StepNoise, options: StepOptions
) -> torch.Tensor:
    """Back-propagate perturbation n into the leaves and the decoder; return its squeeze term."""
    shape = (len(cut.features), segmenter.noise_length(cut.skips, cut.features))
    drawn = noise(n, shape).to(cut.features.device)
    without_gradient = torch.no_grad() if options.stop_perturbed else nullcontext()
    with frozen_running_statistics(segmenter), without_gradient:
        noisy = segmenter.perturb(cut.skips, cut.features, drawn, options.sigma)
        perturbed = _softmax(segmenter.decode(*noisy))
    term = squeeze_term(
        cut.probabilities,
        perturbed,
        cut.region,
        options.squeeze_norm,
        count=options.perturbations,
    )
    torch.autograd.backward(options.squeeze_weight * term)
    return term.detach()


def _leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_(tensor.requires_grad)


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return wide.softmax(dim=1)


def _backward(outputs: list[torch.Tensor], leaves: list[torch.Tensor]) -> None:
    """Hand what the leaves collected to the tensors they were cut from."""
    pairs = [(o, leaf.grad) for o, leaf in zip(outputs, leaves, strict=True)]
    reached = [(o, grad) for o, grad in pairs if grad is not None]
    torch.autograd.backward([o for o, _ in reached], [grad for _, grad in reached])


def _figures(
    segmentation: torch.Tensor, squeeze: torch.Tensor, features: torch.Tensor, options: StepOptions
) -> StepFigures:
    losses = torch.stack([segmentation.detach(), squeeze]).tolist()
    return StepFigures(
        loss=losses[0] + options.squeeze_weight * losses[1],
        segmentation=losses[0],
        squeeze=losses[1],
        noise_ratio=noise_ratio(options.sigma, features),
    )
