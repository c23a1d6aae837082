"""Inference with recursion: predict, make hints of the prediction's certainty, predict again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from crisp_core.model.hinting import HintOptions, hints_of, network_inputs
from crisp_core.model.perturbation import EncodedCase, Noise
from crisp_core.model.segmenter import Segmenter, evaluating
from crisp_core.numerics.agreement import changed_share
from crisp_core.numerics.guard import choose, guard_entropy
from crisp_core.numerics.hints import uncertainty_region
from crisp_core.numerics.information import InformationTally


@dataclass(frozen=True)
class Pass:
    """One recursion's answer for one case, and how sure it is.

    Attributes:
        probabilities: float32 (D, K, H, W), unperturbed.
        core: bool (D, C, H, W).
        support: bool (D, C, H, W).
        hint: float32 (D, 2C, H, W), made in this pass for the next.
        information: float32 (D, H, W), nats that the perturbations disagree about.
        changed: Share of pixels whose label differs from the pass before; None in the first.
        entropy: u_g of the guard, entropy per predicted foreground pixel.
        noise_ratio: See `perturbation.noise_ratio`.
    """

    probabilities: torch.Tensor
    core: torch.Tensor
    support: torch.Tensor
    hint: torch.Tensor
    information: torch.Tensor
    changed: float | None
    entropy: float
    noise_ratio: float

    @property
    def labels(self) -> torch.Tensor:
        """The most probable class, int64 (D, H, W)."""
        return self.probabilities.max(dim=1).indices

    @property
    def uncertain(self) -> torch.Tensor:
        """Support without core, united over classes, bool (D, 1, H, W)."""
        return uncertainty_region(self.core, self.support)


@dataclass(frozen=True)
class Refinement:
    """All passes of a case, and which one is the answer."""

    passes: tuple[Pass, ...]
    chosen: int

    @property
    def answer(self) -> Pass:
        """The chosen pass."""
        return self.passes[self.chosen]


def refine(
    segmenter: Segmenter,
    image: torch.Tensor,
    generations: int,
    options: HintOptions,
    noise_of: Callable[[int], Noise],
    *,
    guarded: bool = True,
) -> Refinement:
    """Segment one case with `generations` recursions; each pass encodes the case once.

    Pass 1 sees the null hint, pass g the hints made in pass g - 1. Core and support are measured
    in every pass, the last included, also for a network that takes no hints.

    Args:
        segmenter: M_K.
        image: (D, d, H, W), all slices of one volume in order, on any device.
        generations: Number of passes; 1 is plain inference.
        options: How hints are made.
        noise_of: The perturbations of pass g = 1..generations.
        guarded: Answer with the pass of least entropy; otherwise with the last.

    Raises:
        ValueError: If there is no pass, or a logit is not finite.
    """
    if generations < 1:
        message = f"refine needs at least one generation, got {generations}"
        raise ValueError(message)
    with evaluating(segmenter):
        passes = tuple(_passes(segmenter, image, generations, options, noise_of))
    chosen = choose([one.entropy for one in passes]) if guarded else len(passes) - 1
    return Refinement(passes, chosen)


def _passes(
    segmenter: Segmenter,
    images: torch.Tensor,
    generations: int,
    options: HintOptions,
    noise_of: Callable[[int], Noise],
) -> Iterator[Pass]:
    hint, before = None, None
    for generation in range(1, generations + 1):
        encoded = EncodedCase(segmenter, network_inputs(segmenter, images, hint))
        logits = encoded.clean_logits()
        tally = InformationTally()
        hints = hints_of(encoded, logits, options, noise_of(generation), tally.note)
        probabilities = logits.float().softmax(dim=1)
        yield Pass(
            probabilities=probabilities,
            core=hints.core,
            support=hints.support,
            hint=hints.hint,
            information=tally.mutual_information,
            changed=None if before is None else changed_share(before, hints.labels),
            entropy=guard_entropy(probabilities),
            noise_ratio=hints.noise_ratio,
        )
        hint, before = hints.hint, hints.labels
