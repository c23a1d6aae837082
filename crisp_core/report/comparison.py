"""Several methods on the same sites: one page, one JSON file and Markdown for the documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from crisp_core.report.comparison_sheets import Pairs, comparison_sheets, pairs_of
from crisp_core.report.grids import Column, Grid
from crisp_core.report.methods import Cohort, Run, cohort, pass_grid, seed_grid, site_grid
from crisp_core.report.prose import count, listed
from crisp_core.report.rendering import render
from crisp_core.report.scales import scale_over
from crisp_core.report.sheets.files import write_sheets
from crisp_core.report.sheets.formats import markdown_text
from crisp_core.report.sheets.sheet import Sheet
from crisp_core.schema.study import Study


@dataclass(frozen=True)
class Comparison:
    """Every number and sentence of the comparison."""

    cohort: Cohort
    grids: tuple[Grid, ...]
    runs: Grid
    limits: str
    cautions: tuple[str, ...]
    sheets: tuple[Sheet, ...]
    """Every table, as it is written."""


def write_comparison(
    summaries: Sequence[Run], folder: Path, *, baseline: str | None = None
) -> Path:
    """Write comparison.html, comparison.json, comparison.md and every table into `folder`.

    Args:
        summaries: Method, seed and summary of each run; methods keep this order.
        folder: Made if it is not there.
        baseline: Method that the others are held against; absent: `fedavg`, else the first.

    Returns:
        The path of comparison.html.

    Raises:
        ValueError: If there is no run, one method has the same seed twice or the baseline is none
            of the methods.
    """
    result = compare(summaries, baseline=baseline)
    write_sheets(result.sheets, folder)
    text = json.dumps(asdict(replace(result, sheets=())), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")
    (folder / "comparison.md").write_text(comparison_markdown(result), encoding="utf-8")
    path = folder / "comparison.html"
    path.write_text(comparison_page(result), encoding="utf-8")
    return path


def compare(summaries: Sequence[Run], *, baseline: str | None = None) -> Comparison:
    """Compute every table of the comparison."""
    runs = cohort(summaries)
    pairs = pairs_of(summaries, runs, baseline)
    dice, hd95 = Column("", higher_is_better=True), Column("", higher_is_better=False, decimals=1)
    grids = (
        site_grid(runs, "Dice", lambda figures: figures.dice, dice),
        site_grid(runs, "HD95 (mm)", lambda figures: figures.hd95_mm, hd95),
        pass_grid(runs),
    )
    every_run = seed_grid(runs)
    return Comparison(
        cohort=runs,
        grids=grids,
        runs=every_run,
        limits=_limits(runs),
        cautions=(*_differences(summaries), *_unpaired(runs, pairs)),
        sheets=comparison_sheets(runs, grids, every_run, pairs),
    )


def comparison_page(result: Comparison) -> str:
    """Return the comparison as HTML."""
    dice = [row.answer.dice for run in result.cohort.runs for row in run.sites.values()]
    return render(
        "comparison.html",
        result=result,
        cohort=result.cohort,
        scale=scale_over(dice, intervals=6),
    )


def comparison_markdown(result: Comparison) -> str:
    """Return the comparison as Markdown, as the documents show it."""
    parts = ["# Comparison of methods", result.limits, *(f"- {c}" for c in result.cautions)]
    for sheet in result.sheets:
        parts += [f"## {sheet.title}", markdown_text(sheet), *([sheet.note] if sheet.note else [])]
    return "\n\n".join(parts) + "\n"


def _unpaired(runs: Cohort, pairs: Pairs) -> Iterator[str]:
    apart = [site for site in runs.held_out or runs.sources if site not in pairs.sites]
    if apart:
        yield (
            f"The patients of {listed(apart)} have other pseudonyms from run to run: they cannot "
            "be paired, so no p is given there."
        )


def _limits(runs: Cohort) -> str:
    seeds = sorted({run.seed for run in runs.runs})
    places = [f"{site}: {runs.samples[site]}" for site in runs.held_out]
    return (
        f"{count(len(runs.methods), 'method')}, {count(len(seeds), 'seed')}, "
        f"{count(len(runs.held_out), 'held-out site')} "
        f"(cases and, in brackets, patients: {'; '.join(places) or 'none'}). What this does not "
        "show: how any of these methods does at other hospitals. The spread is that of "
        "seeds, not of patients or hospitals; a higher mean is not by itself a difference."
    )


def _differences(summaries: Sequence[Run]) -> Iterator[str]:
    """Say what is not equal between the runs and could explain a difference by itself."""
    studies = [summary.study for _, _, summary in summaries]
    for label, values in _conditions(studies).items():
        if len(set(values)) > 1:
            options = sorted({f"{m}: {v}" for (m, _, _), v in zip(summaries, values, strict=True)})
            yield f"Not equal for all runs, {label}: {'; '.join(options)}."
    seeds: dict[str, list[int]] = {}
    for method, seed, _ in summaries:
        seeds.setdefault(method, []).append(seed)
    if len({tuple(sorted(own)) for own in seeds.values()}) > 1:
        own = [f"{method}: {', '.join(map(str, sorted(each)))}" for method, each in seeds.items()]
        yield f"Methods ran with different seeds ({'; '.join(own)})."


def _conditions(studies: Sequence[Study]) -> dict[str, list[str]]:
    return {
        "optimiser steps": [str(study.training.steps) for study in studies],
        "augmentation": [study.training.augmentation for study in studies],
        "loss": [study.training.loss for study in studies],
        "normalisation": [study.model.norm for study in studies],
        "network": [
            f"{study.model.architecture}, {study.model.encoder}, width {study.model.width}"
            for study in studies
        ],
        "image size": [" x ".join(map(str, study.images.size)) for study in studies],
        "held-out sites": [", ".join(study.held_out) for study in studies],
        "sources": [", ".join(study.sources) for study in studies],
    }
