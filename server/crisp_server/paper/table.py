"""Our cells beside the published ones: target x structure, one column a method."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from crisp_core.numerics.significance import holm, paired_p
from crisp_core.schema.summary import RunSummary
from crisp_server.paper.published import MEAN, OTHERS, Cell, cautions, published

NAME = re.compile(
    r"(?P<scenario>mnms|ct-contrast|ct-covid)-(?P<method>baseline|recursive|full|upper)(?P<rest>-.+)?"
)
PERCENT = 100.0
ORDER = ("baseline", "recursive", "full", "upper")
FEWEST_PAIRS = 6
"""Patients below which no two-sided signed-rank test can reach 0.05."""


@dataclass(frozen=True)
class Scores:
    """One method at one target on one structure: a number a volume, Dice in percent."""

    dice: tuple[float, ...]
    hd95: tuple[float, ...]
    patients: tuple[str, ...]


Key = tuple[str, str, str, str]
"""Scenario, method, target, structure."""


@dataclass(frozen=True)
class Line:
    """One cell: ours with its spread, the paper's if it was read."""

    scenario: str
    method: str
    target: str
    structure: str
    volumes: int
    dice: float
    dice_sd: float | None
    hd95: float
    hd95_sd: float | None
    published_dice: float | None
    published_hd95: float | None
    p_against_baseline: float | None = None
    """Dice by patient, Wilcoxon's signed-rank test with Holm's correction over the scenario."""


def scores_of(summaries: Iterable[RunSummary]) -> dict[Key, Scores]:
    """Gather every volume of every target; the folds of an upper bound are joined."""
    found = defaultdict[Key, list[tuple[float, float, str]]](list)
    for summary in summaries:
        match = NAME.fullmatch(summary.study.name)
        if match is None:
            continue
        for site in summary.study.held_out:
            for case in summary.final[site].cases:
                for structure, figures in case.answer.structures.items():
                    key = (match["scenario"], match["method"], site, structure)
                    row = (PERCENT * figures.dice, figures.hd95_voxels, case.patient)
                    found[key].append(row)
    return {key: _scores(rows) for key, rows in found.items()}


def _scores(rows: Sequence[tuple[float, float, str]]) -> Scores:
    dice, hd95, patients = zip(*rows, strict=True)
    return Scores(dice, hd95, patients)


def lines_of(scores: Mapping[Key, Scores]) -> tuple[Line, ...]:
    """Return a line a cell and, for each scenario and method, one for the mean of its cells."""
    p_values = _p_values(scores)
    cells = [_line(key, one, p_values.get(key)) for key, one in scores.items()]
    groups = defaultdict[tuple[str, str], list[Line]](list)
    for line in cells:
        if not line.target.endswith("-test"):
            groups[line.scenario, line.method].append(line)
    means = [_mean(*key, group) for key, group in groups.items() if len(group) > 1]
    return tuple(sorted([*cells, *means], key=_place))


def _place(line: Line) -> tuple[str, bool, str, bool, str, int]:
    whole = line.target == MEAN
    method = ORDER.index(line.method)
    return line.scenario, whole, line.target, whole, line.structure, method


def _line(key: Key, one: Scores, p_value: float | None) -> Line:
    cell = published(*key)
    return Line(
        *key,
        volumes=len(one.dice),
        dice=fmean(one.dice),
        dice_sd=_spread(one.dice),
        hd95=fmean(one.hd95),
        hd95_sd=_spread(one.hd95),
        published_dice=cell.dice if cell else None,
        published_hd95=cell.hd95 if cell else None,
        p_against_baseline=p_value,
    )


def _mean(scenario: str, method: str, group: Sequence[Line]) -> Line:
    cell = published(scenario, method, MEAN, MEAN)
    return Line(
        *(scenario, method, MEAN, MEAN),
        volumes=sum(line.volumes for line in group),
        dice=fmean(line.dice for line in group),
        dice_sd=None,
        hd95=fmean(line.hd95 for line in group),
        hd95_sd=None,
        published_dice=cell.dice if cell else None,
        published_hd95=cell.hd95 if cell else None,
    )


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _p_values(scores: Mapping[Key, Scores]) -> dict[Key, float]:
    """Compare the full method with the baseline on the same patients, cell by cell."""
    found: dict[Key, float] = {}
    for key, full in scores.items():
        scenario, method, target, structure = key
        base = scores.get((scenario, "baseline", target, structure))
        if method == "full" and base is not None and not target.endswith("-test"):
            ours, theirs = _by_patient(full), _by_patient(base)
            both = sorted(set(ours) & set(theirs))
            if len(both) >= FEWEST_PAIRS:
                found[key] = paired_p([ours[p] for p in both], [theirs[p] for p in both])
    adjusted: dict[Key, float] = {}
    for scenario in {key[0] for key in found}:
        keys = [key for key in found if key[0] == scenario]
        adjusted |= dict(zip(keys, holm([found[key] for key in keys]), strict=True))
    return adjusted


def _by_patient(scores: Scores) -> dict[str, float]:
    rows = defaultdict[str, list[float]](list)
    for patient, dice in zip(scores.patients, scores.dice, strict=True):
        rows[patient].append(dice)
    return {patient: fmean(values) for patient, values in rows.items()}


def as_markdown(lines: Sequence[Line]) -> str:
    """Write the table, what the paper prints of other methods, and what a reader must know."""
    parts = []
    for scenario in dict.fromkeys(line.scenario for line in lines):
        own = [line for line in lines if line.scenario == scenario]
        rows = [
            "| target | structure | method | volumes | Dice % | paper | HD95 px | paper | p |",
            "|---|---|---|---|---|---|---|---|---|",
            *map(_row, own),
        ]
        others = [f"- {_other(c)}" for c in OTHERS if c.scenario == scenario]
        notes = [f"- {text}" for text in cautions(scenario)]
        title = f"## {scenario}"
        other_title, note_title = "Printed for methods that are not run here:", "To know:"
        parts += [title, "", *rows, "", other_title, "", *others, "", note_title, "", *notes, ""]
    return "\n".join(parts)


def _row(line: Line) -> str:
    p = "" if line.p_against_baseline is None else f"{line.p_against_baseline:.3g}"
    cells = (
        line.target,
        line.structure,
        line.method,
        str(line.volumes),
        _with_spread(line.dice, line.dice_sd),
        _printed(line.published_dice),
        _with_spread(line.hd95, line.hd95_sd),
        _printed(line.published_hd95),
        p,
    )
    return f"| {' | '.join(cells)} |"


def _with_spread(value: float, spread: float | None) -> str:
    return f"{value:.2f}" if spread is None else f"{value:.2f} ± {spread:.2f}"


def _printed(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _other(cell: Cell) -> str:
    where = "mean of all cells" if cell.target == MEAN else f"{cell.target}, {cell.structure}"
    dice = "" if cell.dice is None else f" Dice {cell.dice:.2f}"
    hd95 = "" if cell.hd95 is None else f" HD95 {cell.hd95:.2f}"
    return f"{cell.method}, {where}:{dice}{hd95}"
