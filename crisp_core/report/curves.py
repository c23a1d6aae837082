"""Figures over passes, generations and rounds: one curve a site, one chart a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from crisp_core.report.tables import DICE, HD95, case_value, mean_or_none
from crisp_core.schema.messages import (
    Evaluation,
    HintFigures,
    RecursionFigures,
    StructureFigures,
    TrainFigures,
)
from crisp_core.schema.summary import RunSummary

Value = TypeVar("Value")
Reader = Callable[[RecursionFigures], float | None]


@dataclass(frozen=True)
class Curve:
    """One site over passes, generations or rounds; None where a figure is not defined."""

    site: str
    role: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    """Curves of all sites on one pair of axes."""

    title: str
    unit: str
    x_label: str
    x_values: tuple[int, ...]
    curves: tuple[Curve, ...]

    @property
    def empty(self) -> bool:
        """No site has a single point."""
        return all(value is None for curve in self.curves for value in curve.values)


def pass_charts(summary: RunSummary, sites: Sequence[str]) -> tuple[Chart, ...]:
    """Draw quality, uncertainty, core and support over the passes of the final measurement."""
    classes = summary.study.classes
    readers: tuple[tuple[str, str, Reader], ...] = (
        ("Dice", "", lambda r: case_value(r, DICE, classes)),
        ("HD95", "mm", lambda r: case_value(r, HD95, classes)),
        ("Uncertain share of voxels", "", lambda r: r.uncertain),
        ("Core precision", "", _structure_mean(lambda f: f.core_precision)),
        ("Core recall", "", _structure_mean(lambda f: f.core_recall)),
        ("Support precision", "", _structure_mean(lambda f: f.support_precision)),
        ("Support recall", "", _structure_mean(lambda f: f.support_recall)),
        ("Support share of voxels", "", lambda r: r.support_coverage),
    )
    passes = range(summary.pass_count)
    return tuple(
        _chart(
            summary,
            (title, unit, "Pass"),
            [index + 1 for index in passes],
            {s: [_case_mean(summary.final[s], i, read) for i in passes] for s in sites},
        )
        for title, unit, read in readers
    )


def validation_charts(summary: RunSummary) -> tuple[Chart, ...]:
    """Draw Dice and HD95 of the answer on the sources' validation cases, after each generation."""
    generations = summary.generations
    sites = sorted({site for generation in generations for site in generation.validation})
    return tuple(
        _chart(
            summary,
            (f"Validation {metric.label}", metric.unit, "Generation"),
            [generation.generation for generation in generations],
            {
                site: [
                    mean_or_none(
                        case_value(case.answer, metric, summary.study.classes)
                        for case in generation.validation[site].cases
                    )
                    if site in generation.validation
                    else None
                    for generation in generations
                ]
                for site in sites
            },
        )
        for metric in (DICE, HD95)
    )


def loss_charts(summary: RunSummary) -> tuple[Chart, ...]:
    """Draw the losses at the end of each round, the rounds of all generations in one row."""
    readers: tuple[tuple[str, Callable[[TrainFigures], float | None]], ...] = (
        ("Training loss", lambda f: f.loss_last),
        ("Squeeze loss", lambda f: f.squeeze_last),
        ("Perturbation / feature spread", lambda f: f.noise_ratio),
    )
    rows = [entry.trained for entry in summary.rounds]
    numbers = list(range(1, len(rows) + 1))
    return tuple(
        _chart(summary, (title, "", "Round"), numbers, _by_site(rows, read))
        for title, read in readers
    )


def hint_charts(summary: RunSummary) -> tuple[Chart, ...]:
    """Draw what the sources' own hints looked like, generation by generation."""
    readers: tuple[tuple[str, Callable[[HintFigures], float | None]], ...] = (
        ("Core precision", lambda f: f.core_precision),
        ("Core recall", lambda f: f.core_recall),
        ("Support precision", lambda f: f.support_precision),
        ("Support recall", lambda f: f.support_recall),
        ("Support share of voxels", lambda f: f.support_coverage),
        ("Uncertain share of voxels", lambda f: f.uncertain),
        ("Hint values changed", lambda f: f.changed),
        ("Predicted labels changed", lambda f: f.pixels_changed),
    )
    made = [generation for generation in summary.generations if generation.hints]
    numbers = [generation.generation for generation in made]
    rows = [generation.hints for generation in made]
    return tuple(
        _chart(summary, (title, "", "Generation"), numbers, _by_site(rows, read))
        for title, read in readers
    )


def _chart(
    summary: RunSummary,
    words: tuple[str, str, str],
    x_values: Sequence[int],
    values: Mapping[str, Sequence[float | None]],
) -> Chart:
    curves = tuple(
        Curve(site, summary.study.sites[site].role, tuple(row)) for site, row in values.items()
    )
    title, unit, x_label = words
    return Chart(title, unit, x_label, tuple(x_values), curves)


def _by_site(
    rows: Sequence[Mapping[str, Value]], read: Callable[[Value], float | None]
) -> dict[str, list[float | None]]:
    sites = sorted({site for row in rows for site in row})
    return {site: [read(row[site]) if site in row else None for row in rows] for site in sites}


def _case_mean(evaluation: Evaluation, index: int, read: Reader) -> float | None:
    reached = [case.recursions for case in evaluation.cases if index < len(case.recursions)]
    return mean_or_none(read(recursions[index]) for recursions in reached)


def _structure_mean(read: Callable[[StructureFigures], float | None]) -> Reader:
    return lambda recursion: mean_or_none(map(read, recursion.structures.values()))
