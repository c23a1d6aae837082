"""Several methods on the same sites: one page, one JSON file and Markdown for the documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crisp_core.report.grids import Column, Grid, cell_words, markdown
from crisp_core.report.methods import Cohort, Run, cohort, origins, pass_grid, seed_grid, site_grid
from crisp_core.report.prose import count
from crisp_core.report.rendering import render
from crisp_core.report.scales import scale_over
from crisp_core.schema.study import Study

LEGEND = (
    "Means over seeds \N{PLUS-MINUS SIGN} standard deviation over seeds. Bold: the highest mean "
    "of a column (for HD95 the lowest). \N{DAGGER}: a method's worst held-out site. The column "
    "of the worst held-out site takes each seed's own worst, which need not be the same site."
)


@dataclass(frozen=True)
class Comparison:
    """Every number and sentence of the comparison."""

    cohort: Cohort
    grids: tuple[Grid, ...]
    runs: Grid
    limits: str
    cautions: tuple[str, ...]


def write_comparison(summaries: Sequence[Run], folder: Path) -> Path:
    """Write comparison.html, comparison.json and comparison.md into `folder`.

    Args:
        summaries: Method, seed and summary of each run; methods keep this order.
        folder: Made if it is not there.

    Returns:
        The path of comparison.html.

    Raises:
        ValueError: If there is no run or one method has the same seed twice.
    """
    result = compare(summaries)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(result), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")
    (folder / "comparison.md").write_text(comparison_markdown(result), encoding="utf-8")
    path = folder / "comparison.html"
    path.write_text(comparison_page(result), encoding="utf-8")
    return path


def compare(summaries: Sequence[Run]) -> Comparison:
    """Compute every table of the comparison."""
    runs = cohort(summaries)
    dice, hd95 = Column("", higher_is_better=True), Column("", higher_is_better=False, decimals=1)
    return Comparison(
        cohort=runs,
        grids=(
            site_grid(runs, "Dice", lambda figures: figures.dice, dice),
            site_grid(runs, "HD95 (mm)", lambda figures: figures.hd95_mm, hd95),
            pass_grid(runs),
        ),
        runs=seed_grid(runs),
        limits=_limits(runs),
        cautions=tuple(_differences(summaries)),
    )


def comparison_page(result: Comparison) -> str:
    """Return the comparison as HTML."""
    dice = [row.answer.dice for run in result.cohort.runs for row in run.sites.values()]
    return render(
        "comparison.html",
        result=result,
        cohort=result.cohort,
        legend=LEGEND,
        origins=origins(result.cohort),
        scale=scale_over(dice, intervals=6),
        cell_words=cell_words,
    )


def comparison_markdown(result: Comparison) -> str:
    """Return the comparison as Markdown, as the documents show it."""
    parts = ["# Comparison of methods", result.limits, *(f"- {c}" for c in result.cautions)]
    for table in result.grids:
        parts += [f"## {table.title}", markdown(table, "method")]
    parts += [f"## {result.runs.title}", markdown(result.runs, "run"), LEGEND]
    return "\n\n".join(parts) + "\n"


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
