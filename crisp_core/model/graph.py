"""The network as plain programs of arrays: one pass, and the whole recursion with its guard.

What `refine` computes case by case is written here once more without checks, chunks or numbers
that leave the tensors, so that it can be traced and then run where this code is not installed.
The tests hold both to the same answers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from crisp_core.model.hinting import HintOptions
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.guard import FLOOR_AREA_PIXELS, FLOOR_PIXELS


class Answer(NamedTuple):
    """What the recursion puts out for S slices.

    Attributes:
        probabilities: float32 (S, K, h, w) of the pass that answers.
        core: uint8 (S, C, h, w), 0 or 1.
        support: uint8 (S, C, h, w), 0 or 1.
        entropies: float32 (passes,), the guard's figure of each pass.
        chosen: int64 (), the pass that answers, from 0.
        changed: float32 (passes,), share of pixels with another label than in the pass before;
            the first is 1.
        recursion_change: float32 (), 1 - Dice of the foregrounds of the first and the last pass.
    """

    probabilities: torch.Tensor
    core: torch.Tensor
    support: torch.Tensor
    entropies: torch.Tensor
    chosen: torch.Tensor
    changed: torch.Tensor
    recursion_change: torch.Tensor


class OnePass(nn.Module):
    """Images without hints to probabilities: the first pass alone."""

    def __init__(self, segmenter: Segmenter, image_channels: int) -> None:
        super().__init__()
        self.segmenter, self.image_channels = segmenter, image_channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Turn float32 (S, d, h, w) into float32 (S, K, h, w)."""
        logits: torch.Tensor = self.segmenter(self.with_hint(images, None))
        return logits.softmax(dim=1)

    def with_hint(self, images: torch.Tensor, hint: torch.Tensor | None) -> torch.Tensor:
        """Append a hint (S, 2C, h, w), None for the one that knows nothing, if there is room."""
        if self.segmenter.input_channels == self.image_channels:
            return images
        if hint is None:
            nowhere = torch.zeros_like(images[:, :1]).expand(-1, self.segmenter.class_count, -1, -1)
            hint = torch.cat([nowhere, nowhere + 1], dim=1)
        return torch.cat([images, hint], dim=1)


class Recursion(nn.Module):
    """Images and noise to the answer of all passes, with the guard."""

    def __init__(
        self,
        segmenter: Segmenter,
        image_channels: int,
        options: HintOptions,
        passes: int,
        *,
        guarded: bool,
    ) -> None:
        super().__init__()
        self.first = OnePass(segmenter, image_channels)
        self.options, self.passes, self.guarded = options, passes, guarded

    def forward(
        self, images: torch.Tensor, noise: torch.Tensor, neighbours: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Segment one case; `answer` as a plain tuple, which every format can hold."""
        return tuple(self.answer(images, noise, neighbours))

    def answer(self, images: torch.Tensor, noise: torch.Tensor, neighbours: torch.Tensor) -> Answer:
        """Segment one case.

        Args:
            images: float32 (S, d, h, w), the slices of one volume in order; of several windows
                over it one after another. Channels: those of the neighbouring slices too.
            noise: float32 (passes, N, S, F), standard normal.
            neighbours: float32 (S,), 1 where the next slice lies beside this one, 0 at the end of
                a window.
        """
        beside = neighbours[:, None, None, None]
        answer, hint = self._pass(images, None, noise[0], beside)
        labels = first = answer.probabilities.argmax(dim=1)
        for number in range(1, self.passes):
            after, hint = self._pass(images, hint, noise[number], beside)
            now = after.probabilities.argmax(dim=1)
            changed = (now != labels).float().mean()[None]
            answer, labels = self._joined(answer, after, changed, number), now
        return answer._replace(recursion_change=_change(first > 0, labels > 0))

    def _pass(
        self,
        images: torch.Tensor,
        hint: torch.Tensor | None,
        noise: torch.Tensor,
        beside: torch.Tensor,
    ) -> tuple[Answer, torch.Tensor]:
        """Make one pass with noise (N, S, F); also return the hint for the next."""
        segmenter = self.first.segmenter
        skips, features = segmenter.encode(self.first.with_hint(images, hint))
        probabilities = segmenter.decode(skips, features).softmax(dim=1)
        grades, flats = [], []
        for n in range(self.options.perturbations):
            noisy = segmenter.perturb(skips, features, noise[n], self.options.sigma)
            grade, flat = graded(segmenter.decode(*noisy), self.options)
            grades.append(grade)
            flats.append(flat)
        core, support, ranks = _tallied(grades, flats, self.options.levels)
        one = Answer(
            probabilities,
            core,
            support,
            guard_entropy(probabilities)[None],
            torch.zeros((), dtype=torch.int64),
            torch.ones(1),
            torch.zeros(()),
        )
        return one, self._hint(core, support, ranks, beside)

    def _hint(
        self, core: torch.Tensor, support: torch.Tensor, ranks: torch.Tensor, beside: torch.Tensor
    ) -> torch.Tensor:
        if self.options.form == "binary":
            return torch.cat([core, support], dim=1).float()
        if self.options.neighbours == 0:
            return torch.cat([ranks, core.float()], dim=1)
        none = torch.zeros_like(ranks[:1])  # nothing lies beside the first slice and the last
        before = torch.cat([none, (ranks * beside)[:-1]])
        after = torch.cat([ranks[1:], none]) * beside
        return torch.cat([ranks, before / 2 + after / 2], dim=1)

    def _joined(self, before: Answer, after: Answer, changed: torch.Tensor, number: int) -> Answer:
        """Keep the better of two answers: with the guard the one of less entropy."""
        least = before.entropies.amin(dim=0)
        better = after.entropies[0] < least if self.guarded else torch.ones((), dtype=torch.bool)
        return Answer(
            torch.where(better, after.probabilities, before.probabilities),
            torch.where(better, after.core, before.core),
            torch.where(better, after.support, before.support),
            torch.cat([before.entropies, after.entropies]),
            torch.where(better, torch.full((), number, dtype=torch.int64), before.chosen),
            torch.cat([before.changed, changed]),
            before.recursion_change,
        )


def graded(logits: torch.Tensor, options: HintOptions) -> tuple[torch.Tensor, torch.Tensor]:
    """Grade the logits (S, K, h, w) of one perturbation as `numerics.grades.graded` does.

    Returns:
        Grades, float32 (S, C, h, w), and where they say nothing, bool (S or 1, C or 1, 1, 1).
    """
    first = 0 if options.range_over == "joint_all" else 1
    scores = _log_odds(logits, first)
    if options.log_odds_clip is not None:
        scores = scores.clamp(-options.log_odds_clip, options.log_odds_clip)
    axes = [0] if options.instance == "volume" else []
    axes += [] if options.range_over == "class_fg" else [1]
    low, high = (f((*axes, 2, 3), keepdim=True) for f in (scores.amin, scores.amax))
    flat = high == low
    width = torch.where(flat, torch.ones_like(low), high - low)
    scaled = (scores[:, 1 - first :] - low) * options.levels / width
    grades = scaled.clamp(max=options.levels - 1).floor()  # none is below 0
    return grades, flat


def guard_entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the guard's figure of (S, K, h, w) as `numerics.guard.guard_entropy` does."""
    tiny = torch.finfo(torch.float32).tiny
    entropy = -(probabilities * probabilities.clamp(min=tiny).log())
    height, width = probabilities.shape[2:]
    floor = FLOOR_PIXELS * height * width / FLOOR_AREA_PIXELS
    foreground = (1 - probabilities[:, 0]).sum(dtype=torch.float64)
    figure: torch.Tensor = entropy.sum(dtype=torch.float64) / foreground.clamp(min=floor)
    return figure.float()


def _change(first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Return 1 - Dice of two masks as `model.evidence` does; two empty ones are the same."""
    one, other = first.float(), last.float()
    size = one.sum() + other.sum()
    return torch.where(size > 0, 1 - 2 * (one * other).sum() / size.clamp(min=1), 0.0)


def _log_odds(logits: torch.Tensor, first: int) -> torch.Tensor:
    """Return z_c less the logsumexp of all others, for the classes from `first` on."""
    planes = logits.unbind(1)
    scores = []
    for place in range(first, len(planes)):
        others = [plane for number, plane in enumerate(planes) if number != place]
        top = torch.stack(others).amax(dim=0)
        total = torch.stack([(plane - top).exp() for plane in others]).sum(dim=0)
        scores.append(planes[place] - (top + total.log()))
    return torch.stack(scores, dim=1)


def _tallied(
    grades: list[torch.Tensor], flats: list[torch.Tensor], levels: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return core, support and ranks of all perturbations, one after another."""
    lowest, highest, total, flat = grades[0], grades[0], grades[0], flats[0]
    for grade, blank in zip(grades[1:], flats[1:], strict=True):
        lowest, highest = torch.minimum(lowest, grade), torch.maximum(highest, grade)
        total, flat = total + grade, flat | blank
    core, support = lowest == levels - 1, (highest > 0) | flat
    return core.byte(), support.byte(), total / (len(grades) * (levels - 1))
