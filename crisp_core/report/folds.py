"""What one fold of leave-one-hospital-out found: the figures that tables and scripts read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pydantic import TypeAdapter

from crisp_core.report.tables import DICE, HD95, case_value
from crisp_core.schema.messages import CaseFigures, RecursionFigures
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class PassOfCase:
    """One case after one pass, each figure the mean over the structures that define it."""

    dice: float
    hd95_mm: float
    dice_of: dict[str, float]
    core_precision: float | None
    core_recall: float | None
    support_recall: float | None


@dataclass(frozen=True)
class FoldCase:
    """One case of the held-out hospital."""

    patient: str
    chosen: int
    passes: tuple[PassOfCase, ...]

    @property
    def answer(self) -> PassOfCase:
        """The pass that is the result."""
        return self.passes[self.chosen - 1]


@dataclass(frozen=True)
class Fold:
    """One federation: who was held out, how it was selected and what was measured there."""

    method: str
    seed: int
    held_out: str
    selected_generation: int
    validation: tuple[float | None, ...]
    """Dice of the worst source on its validation patients, generation by generation."""
    source_dice: dict[str, float]
    cases: tuple[FoldCase, ...]
    seconds: float
    model_hash: str

    def mean(self, pick: Callable[[PassOfCase], float]) -> float:
        """Average a figure of the answers over the held-out hospital's cases."""
        return fmean(pick(case.answer) for case in self.cases)


def fold_of(method: str, seed: int, held_out: str, summary: RunSummary) -> Fold:
    """Keep of a finished federation what the tables need."""
    classes = summary.study.classes
    return Fold(
        method=method,
        seed=seed,
        held_out=held_out,
        selected_generation=summary.selected_generation,
        validation=tuple(_worst_validation(summary)),
        source_dice={
            site: round(fmean(_dice(case.answer, classes) for case in summary.final[site].cases), 4)
            for site in summary.study.sources
        },
        cases=tuple(_fold_case(case, classes) for case in summary.final[held_out].cases),
        seconds=round(summary.seconds, 1),
        model_hash=summary.model_hash,
    )


def _worst_validation(summary: RunSummary) -> Iterator[float | None]:
    classes = summary.study.classes
    for generation in summary.generations:
        sites = generation.validation.values()
        means = [fmean(_dice(case.answer, classes) for case in site.cases) for site in sites]
        yield round(min(means), 4) if means else None


def _fold_case(case: CaseFigures, classes: Sequence[str]) -> FoldCase:
    passes = tuple(_pass(recursion, classes) for recursion in case.recursions)
    return FoldCase(case.patient, case.chosen, passes)


def _pass(recursion: RecursionFigures, classes: Sequence[str]) -> PassOfCase:
    structures = [recursion.structures[name] for name in classes]
    return PassOfCase(
        dice=round(_dice(recursion, classes), 4),
        hd95_mm=round(case_value(recursion, HD95, classes) or 0.0, 3),
        dice_of={name: round(recursion.structures[name].dice, 4) for name in classes},
        core_precision=_known_mean([one.core_precision for one in structures]),
        core_recall=_known_mean([one.core_recall for one in structures]),
        support_recall=_known_mean([one.support_recall for one in structures]),
    )


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 4) if known else None


def _dice(recursion: RecursionFigures, classes: Sequence[str]) -> float:
    return case_value(recursion, DICE, classes) or 0.0


def read_folds(path: Path) -> list[Fold]:
    """Read the folds of a loho.json again."""
    return [_read_fold(raw) for raw in json.loads(path.read_text(encoding="utf-8"))["folds"]]


def _read_fold(raw: Mapping[str, object]) -> Fold:
    return TypeAdapter(Fold).validate_python(raw)


def methods_of(folds: Sequence[Fold]) -> list[str]:
    """Name the methods in the order in which they were run."""
    return list(dict.fromkeys(fold.method for fold in folds))
