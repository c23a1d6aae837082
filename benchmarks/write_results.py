"""Write docs/reference/results.md from the files in `benchmarks/results`.

Example: python -m benchmarks.write_results
The files come from `python -m benchmarks.loho_runs` and `python -m benchmarks.stress_models`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import fmean

from benchmarks.loho_runs import RESULTS, STUDIES
from crisp_core.report.folds import Fold, FoldCase, read_folds
from crisp_core.report.loho import loho
from crisp_core.report.prose import number, signed
from crisp_core.report.sheets.formats import markdown_text
from crisp_core.schema.study import Study
from crisp_server.settings import load_study

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "results.md"
EARLIER = RESULTS / "earlier-comparisons.md"
BASELINE, OURS = "fedavg", "crisp"
SHOWN = ("dice", "hd95", "paired-dice", "recursion")
HEAD = """# Results

Written by `python -m benchmarks.write_results` from the figures in `benchmarks/results/`, whatever
they say. Two real sets, every hospital (or cohort) held out in turn by `crisp loho`: three seeds as
small as two CPU cores allow, and one seed of the first set at 256 pixels on a GPU. Within a set
every method had the same optimiser steps, batch, augmentation and loss; each has the normalisation
of its own word (BatchNorm: `fedavg`, `fedavg-2.5d`, `fedbn`, `crisp-paper`; GroupNorm: `crisp`,
`fedavg-group`, `crisp-no-squeeze`). **These tables show that the machinery works and where each
method gains or loses at these budgets. They do not show what the methods do after the paper's
60,000 steps or at other hospitals.** A difference without a small p is none. The federations of the
spinal cord and the stress tests ran before the last changes of augmentation and rounding that the
change log lists: a rerun gives other digits.
"""


def main() -> None:
    """Write the page."""
    sets = sorted(RESULTS.glob("loho-*.json"))
    parts = [HEAD, *(section(path) for path in sets), *stress_sections()]
    parts += ["## Earlier comparisons", EARLIER.read_text(encoding="utf-8").strip()]
    PAGE.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    print(PAGE)


def section(path: Path) -> str:
    """Return one set's tables as Markdown."""
    study, folds = load_study(STUDIES / f"{path.stem}.toml"), read_folds(path)
    result = loho(folds)
    notes = STUDIES / f"{path.stem}.notes.md"
    parts = [f"## {path.stem}", facts(study), result.limits]
    parts += [notes.read_text(encoding="utf-8").strip()] if notes.exists() else []
    for sheet in result.sheets:
        if sheet.name in SHOWN:
            parts += [f"### {sheet.title}", markdown_text(sheet), sheet.note]
    parts += [f"### Where `{OURS}` gains and loses against `{BASELINE}`", losses(folds)]
    return "\n\n".join(part for part in parts if part)


def facts(study: Study) -> str:
    """Say in one sentence what was run."""
    size = " x ".join(map(str, study.images.size))
    return (
        f"{size} pixels, network {network_of(study)}, "
        f"{study.training.steps} steps a source, batch {study.training.batch_size}, learning rate "
        f"{study.training.learning_rate:g}, {study.crisp.generations} generations of "
        f"{study.federation.rounds} rounds, {study.crisp.perturbations} perturbations, "
        f"{study.training.augmentation} augmentation, {study.training.loss} loss, "
        f'federation.admission = "{study.federation.admission}".'
    )


def network_of(study: Study) -> str:
    """Name the network with what its size depends on."""
    model = study.model
    size = f"width {model.width}" if model.architecture == "small" else f"`{model.encoder}`"
    return f"`{model.architecture}` of {size}"


def losses(folds: list[Fold]) -> str:
    """Set the two methods beside each other, hospital by hospital: which pass, class and hint."""
    classes = sorted(next(iter(folds)).cases[0].answer.dice_of)
    titles = (
        *("hospital", BASELINE, f"{OURS}, pass 1", f"{OURS}, last pass", f"{OURS}, answer"),
        *(f"{name}: {OURS} - {BASELINE}" for name in classes),
        *("core precision", "core recall", "support recall", "selected generation"),
    )
    lines = [f"| {' | '.join(titles)} |", f"| --- {'| ---: ' * (len(titles) - 1)}|"]
    for hospital in sorted({fold.held_out for fold in folds}):
        plain, own = (of(folds, method, hospital) for method in (BASELINE, OURS))
        if plain and own:
            lines.append(f"| {hospital} | {' | '.join(loss_cells(plain, own, classes))} |")
    return "\n".join(lines)


def loss_cells(plain: list[Fold], own: list[Fold], classes: Iterable[str]) -> Iterator[str]:
    """Yield a row's figures: means over seeds and cases."""
    yield number(mean(plain, lambda case: case.answer.dice))
    yield number(mean(own, lambda case: case.passes[0].dice))
    yield number(mean(own, lambda case: case.passes[-1].dice))
    yield number(mean(own, lambda case: case.answer.dice))
    for name in classes:
        yield signed(class_dice(own, name) - class_dice(plain, name))
    yield number(mean(own, lambda case: case.answer.core_precision))
    yield number(mean(own, lambda case: case.answer.core_recall))
    yield number(mean(own, lambda case: case.answer.support_recall))
    yield ", ".join(str(fold.selected_generation) for fold in own)


def class_dice(folds: Iterable[Fold], name: str) -> float:
    """Average the Dice of one class over the cases of all folds."""
    return fmean(case.answer.dice_of[name] for fold in folds for case in fold.cases)


def of(folds: Iterable[Fold], method: str, hospital: str) -> list[Fold]:
    """Return one method's folds of one hospital, a seed each."""
    return [f for f in folds if (f.method, f.held_out) == (method, hospital)]


def mean(folds: Iterable[Fold], read: Callable[[FoldCase], float | None]) -> float | None:
    """Average a figure over the cases of all folds that define it."""
    known = [value for f in folds for case in f.cases if (value := read(case)) is not None]
    return fmean(known) if known else None


def stress_sections() -> Iterator[str]:
    """Yield the tables that the stress benchmark wrote."""
    for path in sorted(RESULTS.glob("stress-*.md")):
        yield path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
