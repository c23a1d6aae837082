"""Leave one hospital out: the worst hospital first, and every fold behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from crisp_core.report.fold_pairs import Pairing, paired_sheet, pairings_of
from crisp_core.report.folds import Fold, FoldCase, PassOfCase, methods_of
from crisp_core.report.grids import Column, Grid, Spread, grid, sheet_of, spread
from crisp_core.report.leakage import Leakage, leakage_sheet
from crisp_core.report.prose import count
from crisp_core.report.rendering import render
from crisp_core.report.sheets.files import write_sheets
from crisp_core.report.sheets.formats import markdown_text
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, words
from crisp_core.report.tables import DICE, HD95, Metric

LEGEND = (
    "Means over seeds \N{PLUS-MINUS SIGN} standard deviation over seeds. Bold: the best of a "
    "column. \N{DAGGER}: a method's worst hospital. The first column takes each seed's own worst "
    "hospital; a seed counts in the first three columns once it has every hospital."
)


@dataclass(frozen=True)
class Loho:
    """Every number of the page."""

    folds: tuple[Fold, ...]
    pairings: tuple[Pairing, ...]
    limits: str
    sheets: tuple[Sheet, ...]


def write_loho(
    folds: Sequence[Fold],
    folder: Path,
    leakage: Leakage | None = None,
    *,
    baseline: str | None = None,
) -> Path:
    """Write loho.html, loho.json and loho.md into `folder` and return the page's path.

    Args:
        folds: Every federation that has ended.
        folder: Made if it is not there.
        leakage: What two hospitals have in common.
        baseline: Method that the others are held against; absent: `fedavg`, else the first.

    Raises:
        ValueError: If there is no fold.
    """
    result = loho(folds, leakage, baseline=baseline)
    folder.mkdir(parents=True, exist_ok=True)
    write_sheets(result.sheets, folder)
    text = json.dumps(asdict(replace(result, sheets=())), allow_nan=False)
    (folder / "loho.json").write_text(text + "\n", encoding="utf-8")
    (folder / "loho.md").write_text(loho_markdown(result), encoding="utf-8")
    path = folder / "loho.html"
    path.write_text(loho_page(result), encoding="utf-8")
    return path


def loho(
    folds: Sequence[Fold], leakage: Leakage | None = None, *, baseline: str | None = None
) -> Loho:
    """Compute every table.

    Raises:
        ValueError: If there is no fold.
    """
    if not folds:
        message = "expected at least one fold, got none"
        raise ValueError(message)
    pairings = tuple(pairings_of(folds, baseline))
    dice = _hospital_grid(folds, "Dice", DICE, lambda one: one.dice)
    hd95 = _hospital_grid(folds, "HD95 (mm)", HD95, lambda one: one.hd95_mm)
    return Loho(
        folds=tuple(folds),
        pairings=pairings,
        limits=_limits(folds),
        sheets=(
            sheet_of(dice, "dice", "Method", LEGEND),
            sheet_of(hd95, "hd95", "Method", LEGEND),
            *([paired_sheet(pairings)] if pairings else []),
            sheet_of(_recursion_grid(folds), "recursion", "Method"),
            *([leakage_sheet(leakage)] if leakage else []),
            _fold_sheet(folds),
        ),
    )


def _hospital_grid(
    folds: Sequence[Fold], title: str, metric: Metric, pick: Callable[[PassOfCase], float]
) -> Grid:
    """Set methods against hospitals, each measured by the federation that had not seen it."""
    hospitals = _hospitals(folds)
    like = Column("", higher_is_better=metric.higher_is_better, decimals=metric.decimals)
    worst = min if metric.higher_is_better else max
    columns = [
        _as(like, f"worst of {len(hospitals)}"),
        _as(like, "mean"),
        Column("SD of hospitals", decimals=metric.decimals),
        *(_as(like, name, sample=_sample(folds, name), site=True) for name in hospitals),
    ]
    rows = {}
    for method in methods_of(folds):
        seeds = _by_seed(folds, method, pick)
        whole = [list(own.values()) for own in seeds.values() if len(own) == len(hospitals)]
        rows[method] = [
            spread(worst(values) for values in whole),
            spread(fmean(values) for values in whole),
            spread(stdev(values) for values in whole if len(values) > 1),
            *(spread(own.get(name) for own in seeds.values()) for name in hospitals),
        ]
    return grid(title, columns, rows)


def _as(like: Column, label: str, *, sample: str = "", site: bool = False) -> Column:
    return Column(
        label,
        sample=sample,
        site=site,
        higher_is_better=like.higher_is_better,
        decimals=like.decimals,
    )


def _recursion_grid(folds: Sequence[Fold]) -> Grid:
    """Show what recursion changed and what core and support were worth at the new hospitals."""
    readers: tuple[tuple[Column, Callable[[FoldCase], float | None]], ...] = (
        (Column("Dice, pass 1"), lambda case: case.passes[0].dice),
        (Column("Dice, last pass"), lambda case: case.passes[-1].dice),
        (Column("Dice, answer"), lambda case: case.answer.dice),
        (
            Column("answer minus pass 1", difference=True),
            lambda case: case.answer.dice - case.passes[0].dice,
        ),
        (Column("core precision"), lambda case: case.answer.core_precision),
        (Column("core recall"), lambda case: case.answer.core_recall),
        (Column("support recall"), lambda case: case.answer.support_recall),
    )
    rows = {
        method: [_seed_spread(folds, method, read) for _, read in readers]
        for method in methods_of(folds)
    }
    title = "Recursion, core and support at the held-out hospitals"
    return grid(title, [column for column, _ in readers], rows)


def _seed_spread(
    folds: Sequence[Fold], method: str, read: Callable[[FoldCase], float | None]
) -> Spread | None:
    """Average cases, then hospitals, then say how seeds differ."""
    seeds: dict[int, list[float]] = {}
    for fold in folds:
        known = [value for case in fold.cases if (value := read(case)) is not None]
        if fold.method == method and known:
            seeds.setdefault(fold.seed, []).append(fmean(known))
    return spread(fmean(values) for values in seeds.values())


def _by_seed(
    folds: Sequence[Fold], method: str, pick: Callable[[PassOfCase], float]
) -> dict[int, dict[str, float]]:
    """Return seed -> hospital -> figure of one method."""
    seeds: dict[int, dict[str, float]] = {}
    for fold in folds:
        if fold.method == method:
            seeds.setdefault(fold.seed, {})[fold.held_out] = fold.mean(pick)
    return seeds


def _hospitals(folds: Sequence[Fold]) -> list[str]:
    """Name the hospitals, the hardest first."""
    dice: dict[str, list[float]] = {}
    for fold in folds:
        dice.setdefault(fold.held_out, []).append(fold.mean(lambda one: one.dice))
    return sorted(dice, key=lambda name: fmean(dice[name]))


def _sample(folds: Sequence[Fold], hospital: str) -> str:
    sizes = {
        (len(fold.cases), len({case.patient for case in fold.cases}))
        for fold in folds
        if fold.held_out == hospital
    }
    return ", ".join(f"{cases} ({patients})" for cases, patients in sorted(sizes))


def _limits(folds: Sequence[Fold]) -> str:
    patients = {(fold.held_out, case.patient) for fold in folds for case in fold.cases}
    hospitals, seeds = _hospitals(folds), {fold.seed for fold in folds}
    return (
        f"{count(len(folds), 'federation')}: {count(len(methods_of(folds)), 'method')}, "
        f"{count(len(seeds), 'seed')}, {count(len(hospitals), 'hospital')} held out in turn, "
        f"{count(len(patients), 'patient')} in all. The model was selected on the validation "
        "patients of the hospitals that trained; each held-out hospital was measured once. "
        "\N{PLUS-MINUS SIGN} is the standard deviation over seeds. What this does not show: how "
        "any of these methods does at other hospitals."
    )


def _fold_sheet(folds: Sequence[Fold]) -> Sheet:
    headings = (
        Heading("method", "Method", kind="words"),
        Heading("seed", "Seed", kind="count"),
        Heading("held_out", "Held out", kind="words"),
        Heading("dice", "Dice"),
        Heading("hd95_mm", "HD95", unit="mm", decimals=1),
        Heading("dice_first", "Dice, pass 1"),
        Heading("generation", "Selected generation", kind="count"),
        Heading("validation", "Worst source, validation"),
        Heading("seconds", "Time", unit="s", decimals=0),
    )
    return Sheet(
        "federations",
        "Every federation",
        headings,
        tuple(_fold_row(fold) for fold in folds),
        "The selected generation is the one whose worst source does best on its own validation "
        "patients; without such patients it is the last.",
    )


def _fold_row(fold: Fold) -> tuple[Entry, ...]:
    return (
        words(fold.method),
        Entry(fold.seed),
        words(fold.held_out),
        Entry(fold.mean(lambda one: one.dice)),
        Entry(fold.mean(lambda one: one.hd95_mm)),
        Entry(fmean(case.passes[0].dice for case in fold.cases)),
        Entry(fold.selected_generation),
        Entry(fold.validation[fold.selected_generation - 1]),
        Entry(fold.seconds),
    )


def loho_markdown(result: Loho) -> str:
    """Return the tables as Markdown, as the documents show them."""
    parts = ["# Leave one hospital out", result.limits]
    for sheet in result.sheets:
        parts += [f"## {sheet.title}", markdown_text(sheet), *([sheet.note] if sheet.note else [])]
    return "\n\n".join(parts) + "\n"


def loho_page(result: Loho) -> str:
    """Return the page as HTML."""
    return render("loho.html", result=result)
