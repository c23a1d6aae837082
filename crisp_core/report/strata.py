"""Which kind of case fails: figures by size, place, phase, disturbance, vendor and hospital."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TypeAlias

from crisp_core.numerics.statistics import Interval
from crisp_core.numerics.strata import SMALL_CELL, TERTILES, stratum_of, tertile_edges
from crisp_core.report.tables import DICE, HD95, METRICS, Bootstrap, case_value
from crisp_core.schema.messages import CaseFigures, Evaluation
from crisp_core.schema.summary import RunSummary

SENSITIVITY = next(metric for metric in METRICS if metric.key == "sensitivity")
POSITIONS = ("lower third", "middle third", "upper third")
Words: TypeAlias = Callable[[str, CaseFigures], str | None]
Member: TypeAlias = tuple[str, CaseFigures]
"""A site and one of its cases."""


@dataclass(frozen=True)
class StratumRow:
    """One cell: a stratum, a word of it, and the figures of the cases that have it.

    A cell of fewer than five patients shows how many they are and nothing else.
    """

    stratum: str
    cell: str
    patient_count: int
    case_count: int
    dice: Interval | None
    hd95_mm: Interval | None
    sensitivity: Interval | None

    @property
    def is_suppressed(self) -> bool:
        """Whether too few patients stand behind it."""
        return self.patient_count < SMALL_CELL


def strata_rows(summary: RunSummary) -> tuple[StratumRow, ...]:
    """Cut the final cases of the held-out sites, or of all where none is held out, into cells.

    Thirds of size and disturbance are fixed on the sources' validation cases, so that they mean the
    same at every site.
    """
    sites = summary.study.held_out or tuple(sorted(summary.final))
    members = [(s, case) for s in sites if s in summary.final for case in summary.final[s].cases]
    bootstrap = Bootstrap(summary.study.evaluation.bootstrap_samples, summary.study_hash)
    rows = [
        row
        for name, word in _strata(summary, members).items()
        for row in _rows(name, word, members, bootstrap)
    ]
    return (*rows, *_position_rows(members, bootstrap))


def foreground_ml(case: CaseFigures) -> float | None:
    """Volume of all structures of the reference; None where the site keeps it."""
    volumes = [figures.reference_ml for figures in case.answer.structures.values()]
    known = [volume for volume in volumes if volume is not None]
    return sum(known) if len(known) == len(volumes) else None


def _strata(summary: RunSummary, members: Sequence[Member]) -> dict[str, Words]:
    """Name every stratum and how a case gets its word."""
    made = {generation.generation: generation for generation in summary.generations}
    selected = made.get(summary.selected_generation)
    validation = selected.validation if selected else {}
    told = dict.fromkeys(name for _, case in members for name in case.strata)
    return {
        **{name: partial(_told, name) for name in told},
        "size, thirds": _thirds(validation, foreground_ml),
        "artefact": _thirds(validation, lambda case: case.artefact),
        "group": lambda _, case: case.group or None,
        "hospital": lambda site, _: site,
    }


def _told(name: str, _: str, case: CaseFigures) -> str | None:
    return case.strata.get(name)


def _thirds(
    validation: Mapping[str, Evaluation], read: Callable[[CaseFigures], float | None]
) -> Words:
    values = [read(case) for one in validation.values() for case in one.cases]
    edges = tertile_edges([value for value in values if value is not None])

    def word(_: str, case: CaseFigures) -> str | None:
        value = read(case)
        return None if edges is None or value is None else stratum_of(value, edges, TERTILES)

    return word


def _rows(
    name: str, word: Words, members: Sequence[Member], bootstrap: Bootstrap
) -> Iterator[StratumRow]:
    words = [word(*member) for member in members]
    order = [one for one in TERTILES if one in words] or sorted({one for one in words if one})
    for cell in order:
        inside = [m for m, own in zip(members, words, strict=True) if own == cell]
        patients = [f"{site}/{case.patient}" for site, case in inside]
        few = len(set(patients)) < SMALL_CELL
        dice, distance, found = (
            None
            if few
            else bootstrap.known_interval(
                [case_value(c.answer, metric, tuple(c.answer.structures)) for _, c in inside],
                patients,
                *("strata", name, cell, metric.key),
            )
            for metric in (DICE, HD95, SENSITIVITY)
        )
        yield StratumRow(name, cell, len(set(patients)), len(inside), dice, distance, found)


def _position_rows(members: Sequence[Member], bootstrap: Bootstrap) -> Iterator[StratumRow]:
    """Yield the Dice of each third of the slices; distances across thirds say nothing."""
    for place, name in enumerate(POSITIONS):
        values = [_third(case, place) for _, case in members]
        known = [
            (value, f"{site}/{case.patient}")
            for value, (site, case) in zip(values, members, strict=True)
            if value is not None
        ]
        patients = [patient for _, patient in known]
        if not known:
            return
        few = len(set(patients)) < SMALL_CELL
        figures = [value for value, _ in known]
        dice = None if few else bootstrap.interval(figures, patients, "strata", "position", name)
        yield StratumRow("position", name, len(set(patients)), len(known), dice, None, None)


def _third(case: CaseFigures, place: int) -> float | None:
    """Mean over the structures that are cut into thirds."""
    values = [
        figures.dice_by_third[place]
        for figures in case.answer.structures.values()
        if figures.dice_by_third is not None
    ]
    return fmean(values) if values else None
