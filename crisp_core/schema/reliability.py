"""Voxels by confidence: sums that leave a site in place of its voxels."""

from __future__ import annotations

from pydantic import model_validator

from crisp_core.schema.frozen import Frozen


class Bins(Frozen):
    """Voxels in bins of equal width over 0..1; sums of several sites are those of their voxels."""

    counts: tuple[int, ...]
    confidence_sums: tuple[float, ...]
    correct_counts: tuple[int, ...]

    @model_validator(mode="after")
    def _one_length(self) -> Bins:
        lengths = {len(self.counts), len(self.confidence_sums), len(self.correct_counts)}
        if len(lengths) != 1 or not self.counts:
            message = f"bins need as many counts as sums, got lengths {sorted(lengths)}"
            raise ValueError(message)
        return self


class Reliability(Frozen):
    """Over the region of interest of every case of an answer."""

    top_label: Bins
    """By the probability of the label that wins."""
    classes: dict[str, Bins]
    """Structure -> by its own probability, whoever wins; `background` among them."""
