"""The training step of CRISP, one perturbation at a time: exact, in the memory of a plain step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import torch

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
    encoder. The sum is that of the joint graph, which never exists. The clean decode is computed
    twice, with the same dropout: its activations would wait through every perturbation.

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
    leaves = [_leaf(one) for one in (features, *skips)]
    dropout = _DropoutState(features.device)
    with torch.no_grad():
        probabilities = _softmax(segmenter.decode(leaves[1:], leaves[0]))
    cut = _Cut(leaves[1:], leaves[0], probabilities.requires_grad_(), region)
    squeeze = torch.stack(
        [_squeeze_one(segmenter, cut, n, noise, options) for n in range(options.perturbations)]
    ).sum()
    with frozen_running_statistics(segmenter), dropout.again():
        logits = segmenter.decode(cut.skips, cut.features)
    segmentation = segmentation_loss(logits, labels, options.loss)
    torch.autograd.backward([segmentation, _softmax(logits)], [None, cut.probabilities.grad])
    _backward([features, *skips], leaves)
    return _figures(segmentation, squeeze, features, options)


class _DropoutState:
    """Where torch's own random stream stands, so that a decode can draw its dropout again."""

    def __init__(self, device: torch.device) -> None:
        self._devices = [device] if device.type == "cuda" else []
        self._states = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self._devices)]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Return to that place, and back to the present one at the end."""
        with torch.random.fork_rng(self._devices):
            torch.set_rng_state(self._states[0])
            for device, state in zip(self._devices, self._states[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            yield


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
