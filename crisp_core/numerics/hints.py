"""Hints: core, support and rank maps of perturbed predictions, as network input."""

from __future__ import annotations

import torch

from crisp_core.numerics.grades import Instance, RangeOver, check_options, cut_, width_of
from crisp_core.numerics.odds import Odds, blocks_of, planes_of


class GradeTally:
    """Collect grades perturbation by perturbation, in memory that does not grow with N.

    Adding one perturbation at a time or all at once gives the same bits.
    """

    def __init__(
        self,
        levels: int = 5,
        range_over: RangeOver = "class_fg",
        instance: Instance = "slice",
        log_odds_clip: float | None = None,
    ) -> None:
        check_options(levels, range_over, instance)
        self._levels = levels
        self._range_over: RangeOver = range_over
        self._instance: Instance = instance
        self._log_odds_clip = log_odds_clip
        self._scores: list[torch.Tensor] = []
        self._sums: torch.Tensor | None = None
        self.count = 0

    def add(self, logits: torch.Tensor) -> None:
        """Grade n perturbations and count them in.

        Args:
            logits: (n, B, K, *space). With instance "volume" the B items are the whole volume.

        Raises:
            ValueError: If a logit is not finite.
        """
        for one in logits:
            for _, block in blocks_of(one):
                self.note(Odds.of(block))
            self.close()

    def note(self, odds: Odds) -> None:
        """Take the next items of a perturbation in; `close` grades them when all are there.

        Raises:
            ValueError: If a logit is not finite.
        """
        scores = odds.log_odds(with_background=self._range_over == "joint_all")
        if self._log_odds_clip is not None:
            scores = scores.clamp_(-self._log_odds_clip, self._log_odds_clip)
        self._scores.append(scores)

    def close(self) -> None:
        """Grade the noted perturbation and count it in.

        Raises:
            ValueError: If a logit is not finite.
        """
        class_count = self._scores[0].shape[1] - (self._range_over == "joint_all")
        low, high = (extreme[:, -class_count:] for extreme in self._extremes())
        if self._sums is None:
            shape = (len(low), class_count, *self._scores[0].shape[2:])
            self._sums = self._scores[0].new_zeros(shape)
            self._flat = torch.zeros_like(low, dtype=torch.bool)
        sizes = [len(scores) for scores in self._scores]
        ranges = (self._sums, low, width_of(low, high))
        for scores, *alike in zip(
            self._scores, *(torch.split(of, sizes) for of in ranges), strict=True
        ):
            for own, sums, start, width in planes_of(scores[:, -class_count:], *alike):
                sums.add_(cut_(own, start, width, self._levels))
        self._flat |= low == high
        self._scores.clear()
        self.count += 1

    def _extremes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return low and high (B, C, 1, …) of each item's and each class's range."""
        low, high = (
            torch.cat([extreme(scores.flatten(2), 2) for scores in self._scores])
            for extreme in (torch.amin, torch.amax)
        )
        if not bool(torch.isfinite(low.sum() + high.sum())):
            message = "logits of a perturbation hold NaN or infinite values"
            raise ValueError(message)
        axes = [*([0] if self._instance == "volume" else [])]
        axes += [*([] if self._range_over == "class_fg" else [1])]
        if axes:
            shape = low.shape
            low = low.amin(axes, keepdim=True).expand(shape)
            high = high.amax(axes, keepdim=True).expand(shape)
        dims = (*low.shape, *[1] * (self._scores[0].ndim - 2))
        return low.reshape(dims), high.reshape(dims)

    @property
    def core(self) -> torch.Tensor:
        """High-precision mask, bool (B, C, *space): top grade in every perturbation."""
        # The sum is exact, and a flat grade is 0, so never core.
        return self._require_any() == self.count * (self._levels - 1)

    @property
    def support(self) -> torch.Tensor:
        """High-recall mask, bool (B, C, *space): above the lowest grade in any perturbation."""
        return (self._require_any() > 0) | self._flat

    @property
    def grade_sums(self) -> torch.Tensor:
        """Sum of the grades over the perturbations, int32 (B, C, *space)."""
        return self._require_any().int()

    @property
    def ranks(self) -> torch.Tensor:
        """Mean grade / (levels - 1), float32 (B, C, *space) in [0, 1]."""
        return self._require_any().float() / (self.count * (self._levels - 1))

    def _require_any(self) -> torch.Tensor:
        if self._sums is None:
            message = "no perturbation was added to the tally"
            raise ValueError(message)
        return self._sums


def core_and_support(
    logits: torch.Tensor,
    levels: int = 5,
    range_over: RangeOver = "class_fg",
    instance: Instance = "slice",
    log_odds_clip: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep what every perturbation ranks highest, and what any ranks above lowest.

    Where a range is a single value it says nothing: not core, all support.

    Args:
        logits: (N, B, K, *space), background first.
        levels: Number of grades.
        range_over: See `grades.grade_map`.
        instance: See `grades.grade_map`.
        log_odds_clip: See `grades.grade_map`.

    Returns:
        core and support, bool (B, C, *space). Core is inside support; one more perturbation
        can only shrink core and grow support.
    """
    tally = GradeTally(levels, range_over, instance, log_odds_clip)
    tally.add(logits)
    return tally.core, tally.support


def rank_map(
    logits: torch.Tensor,
    levels: int = 5,
    range_over: RangeOver = "class_fg",
    instance: Instance = "volume",
    log_odds_clip: float | None = None,
) -> torch.Tensor:
    """Average the grades over the perturbations, scaled to [0, 1].

    Args:
        logits: (N, B, K, *space), background first; B is one volume by default.
        levels: Number of grades.
        range_over: See `grades.grade_map`.
        instance: See `grades.grade_map`.
        log_odds_clip: See `grades.grade_map`.

    Returns:
        float32 (B, C, *space). A perturbation without a range counts as grade 0.
    """
    tally = GradeTally(levels, range_over, instance, log_odds_clip)
    tally.add(logits)
    return tally.ranks


def uncertainty_region(core: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Return support without core, united over classes.

    Args:
        core: bool (B, C, *space).
        support: bool (B, C, *space).

    Returns:
        bool (B, 1, *space).

    Raises:
        ValueError: If the shapes differ.
    """
    if core.shape != support.shape:
        message = f"core is {tuple(core.shape)} but support is {tuple(support.shape)}"
        raise ValueError(message)
    return (support & ~core).any(dim=1, keepdim=True)


def null_hint(
    count: int,
    class_count: int,
    space: tuple[int, ...],
    *,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Return the hint that knows nothing: core nowhere, support everywhere.

    Returns:
        float32 (count, 2 * class_count, *space): the first half 0, the second half 1.
    """
    hint = torch.zeros(count, 2 * class_count, *space, device=device)
    hint[:, class_count:] = 1
    return hint


def binary_hint(core: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Stack core and support, bool (B, C, *space), to float32 (B, 2C, *space)."""
    return torch.cat([core, support], dim=1).float()


def rank_hint(ranks: torch.Tensor, core: torch.Tensor, neighbours: int) -> torch.Tensor:
    """Stack the ranks of each slice and what is known around it.

    Args:
        ranks: float (D, C, H, W), one volume in slice order.
        core: bool (D, C, H, W).
        neighbours: 1: the second half is the mean rank of the slices before and after, a
            missing one counting 0. 0: the second half is core.

    Returns:
        float32 (D, 2C, H, W).

    Raises:
        ValueError: If neighbours is not 0 or 1.
    """
    if neighbours not in {0, 1}:
        message = f"neighbours must be 0 or 1, got {neighbours}"
        raise ValueError(message)
    if neighbours == 0:
        return torch.cat([ranks.float(), core.float()], dim=1)
    count, classes, *space = ranks.shape
    hint = ranks.new_zeros(count, 2 * classes, *space, dtype=torch.float32)
    own, around = hint.chunk(2, dim=1)
    own.copy_(ranks)
    around[1:].add_(own[:-1], alpha=0.5)
    around[:-1].add_(own[1:], alpha=0.5)
    return hint
