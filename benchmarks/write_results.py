"""Write docs/reference/results.md from the comparisons that `compare_methods.py` ran.

Example: python -m benchmarks.write_results runs/cardiac-phantom runs/sunnybrook runs/spinalcord
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from crisp_core.report.comparison import compare as tables_of
from crisp_core.report.comparison import comparison_markdown
from crisp_core.report.methods import Run
from crisp_core.schema.messages import CaseFigures, RecursionFigures
from crisp_core.schema.summary import RunSummary

STUDIES = Path(__file__).with_name("studies")
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "results.md"
BASELINE = "fedavg"
LEARNED_NOTHING = 0.1
HEAD = """# Results

Written by `python -m benchmarks.write_results` from runs of `python -m benchmarks.compare_methods`
(studies in `benchmarks/studies/`), whatever they say. Small networks, small images, few steps, few
patients: these runs show that the machinery works and where recursion helps or hurts at this size,
no more. No setting was tuned on held-out sites, with one exception: the budget of `spinalcord` was
doubled after a first run whose figures, held-out ones included, had been seen. Within a set every
method had the same optimiser steps, augmentation, loss and normalisation, those of its study.
"""


def runs_of(folder: Path) -> list[Run]:
    """Read every finished run of a comparison, in the order of its table."""
    order = json.loads((folder / "comparison.json").read_text())["cohort"]["methods"]
    found = [(path.parent.name, summary_of(path)) for path in folder.glob("*/report.json")]
    rows = [(name.rsplit("-seed", 1)[0], one.study.seed, one) for name, one in found]
    return sorted(rows, key=lambda row: (order.index(row[0]), row[1]))


def summary_of(report: Path) -> RunSummary:
    """Read the summary inside a report.json."""
    return RunSummary.model_validate_json(json.dumps(json.loads(report.read_text())["summary"]))


def section(folder: Path) -> str:
    """Return one data set's tables as Markdown."""
    rows = runs_of(folder)
    study = rows[0][2].study
    tables = comparison_markdown(tables_of(rows)).replace("\n## ", "\n### ")
    body = tables.split("\n", 1)[1].strip()
    size = " x ".join(map(str, study.images.size))
    facts = (
        f"{len(study.sources)} sources ({', '.join(study.sources)}), {size} pixels, "
        f"{study.training.steps} steps a source, batch {study.training.batch_size}, "
        f"{study.crisp.generations} generations of {study.federation.rounds} rounds, network "
        f"`{study.model.architecture}`, {study.model.norm} norm, {study.training.loss}."
    )
    notes = STUDIES / f"{study.name}.notes.md"
    read = [notes.read_text().strip()] if notes.exists() else []
    told = "\n\n".join([facts, *read, *failures(rows), body])
    return f"## {study.name}\n\n{told}\n\n### Run by run\n\n{differences(rows)}\n"


def differences(rows: list[Run]) -> str:
    """Table of what recursion and the method changed, per run."""
    titles = (
        "run",
        "held-out: answer - pass 1",
        "held-out - fedavg",
        "sources - fedavg",
        "loss of the first step",
        "selected generation",
        "seconds",
    )
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    plain = {seed: summary for method, seed, summary in rows if method == BASELINE}
    for method, seed, summary in rows:
        cells = [signed(gain(summary)), *against(summary, plain.get(seed))]
        cells.append(f"{first_loss(summary):.1f}")
        chosen = f"{summary.selected_generation} of {len(summary.generations)}"
        lines.append(
            f"| {method}, seed {seed} | {' | '.join(cells)} | {chosen} | {summary.seconds:.0f} |"
        )
    return "\n".join(lines)


def first_loss(summary: RunSummary) -> float:
    """Loss of the very first step, averaged over the sources."""
    return fmean(figures.loss_first for figures in summary.rounds[0].trained.values())


def failures(rows: list[Run]) -> Iterator[str]:
    """Say which methods learned nothing, and what their first loss was beside plain averaging's."""
    plain = [first_loss(one) for method, _, one in rows if method == BASELINE]
    for word in dict.fromkeys(method for method, _, _ in rows):
        own = [one for method, _, one in rows if method == word]
        if max(role_dice(one, "source") for one in own) < LEARNED_NOTHING:
            yield (
                f"`{word}` learned nothing in this budget: its sources stay below Dice "
                f"{LEARNED_NOTHING}. Its loss began at {fmean(map(first_loss, own)):.1f}, that of "
                f"plain averaging at {fmean(plain):.1f}: the printed squeeze, a plain sum of norms "
                "over pixels and perturbations, outweighs the segmentation loss, and a constant "
                "answer is what it rewards first."
            )


def gain(summary: RunSummary) -> float:
    """Mean over held-out sites of Dice of the answer minus Dice of pass 1."""
    return fmean(
        fmean(dice(case.answer) - dice(case.recursions[0]) for case in cases)
        for cases in sites(summary, "held-out")
    )


def against(summary: RunSummary, plain: RunSummary | None) -> Iterator[str]:
    """Yield the difference to plain averaging at held-out sites and at sources."""
    for role in ("held-out", "source"):
        if plain is None or plain is summary:
            yield "0"
        else:
            yield signed(role_dice(summary, role) - role_dice(plain, role))


def role_dice(summary: RunSummary, role: str) -> float:
    """Mean over sites of a role, each the mean over its cases."""
    return fmean(fmean(dice(case.answer) for case in cases) for cases in sites(summary, role))


def sites(summary: RunSummary, role: str) -> list[tuple[CaseFigures, ...]]:
    """Return the cases of every site of a role."""
    names = summary.study.held_out if role == "held-out" else summary.study.sources
    return [summary.final[name].cases for name in names]


def dice(recursion: RecursionFigures) -> float:
    """Mean Dice over structures."""
    return fmean(figures.dice for figures in recursion.structures.values())


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"{value:+.3f}"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parts = [section(folder) for folder in parser.parse_args().runs]
    PAGE.write_text("\n".join([HEAD, *parts]), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
