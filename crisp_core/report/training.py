"""How the model came about: what selected it, which rounds made it, and who was missing."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from crisp_core.report.tables import DICE, case_value
from crisp_core.schema.messages import Evaluation
from crisp_core.schema.summary import GenerationSummary, RunSummary


@dataclass(frozen=True)
class Score:
    """A generation's validation score: the mean Dice of its worst source."""

    generation: int
    worst_site: str | None
    worst_dice: float | None
    selected: bool


@dataclass(frozen=True)
class RoundRow:
    """One round: who trained on how many cases, and who was missing and why."""

    generation: int
    round_number: int
    trained: tuple[str, ...]
    case_count: int
    steps: int
    slowest_s: float
    missing: dict[str, str]

    @property
    def degraded(self) -> bool:
        """A source's update did not count in this round."""
        return bool(self.missing)


def scores(summary: RunSummary) -> tuple[Score, ...]:
    """Return each generation's worst-site validation score."""
    return tuple(_score(summary, generation) for generation in summary.generations)


def round_rows(summary: RunSummary) -> tuple[RoundRow, ...]:
    """Return one row a round."""
    return tuple(
        RoundRow(
            generation=entry.generation,
            round_number=entry.round_number,
            trained=tuple(entry.trained),
            case_count=sum(figures.case_count for figures in entry.trained.values()),
            steps=sum(figures.steps for figures in entry.trained.values()),
            slowest_s=max((figures.seconds for figures in entry.trained.values()), default=0.0),
            missing=dict(entry.missing),
        )
        for entry in summary.rounds
    )


def _score(summary: RunSummary, generation: GenerationSummary) -> Score:
    means = {
        site: _mean_dice(evaluation, summary.study.classes)
        for site, evaluation in generation.validation.items()
        if evaluation.cases
    }
    worst = min(means, key=means.__getitem__, default=None)
    return Score(
        generation=generation.generation,
        worst_site=worst,
        worst_dice=None if worst is None else means[worst],
        selected=generation.generation == summary.selected_generation,
    )


def _mean_dice(evaluation: Evaluation, classes: tuple[str, ...]) -> float:
    return fmean(case_value(case.answer, DICE, classes) or 0.0 for case in evaluation.cases)
