"""The model card: what a reader must know before using a model, worst hospital first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crisp_core.report.analysis.findings import Findings, findings
from crisp_core.report.analysis.flags import threshold_sentence
from crisp_core.report.prose import confidence, count, listed, number, sample
from crisp_core.report.rendering import render
from crisp_core.report.run_sheets import run_sheets
from crisp_core.report.run_tables import RunTables, run_tables
from crisp_core.report.sheets.formats import markdown_text
from crisp_core.report.sheets.sheet import Sheet
from crisp_core.report.tables import of_role
from crisp_core.schema.summary import RunSummary

USE = (
    "Research on segmentation across hospitals. It is not a medical device.",
    "No figure here is evidence of safety or benefit in clinical use.",
    "A person must look at every answer that anything depends on.",
    "At a hospital that is not named here its quality is unknown until it is measured there.",
)


@dataclass(frozen=True)
class Section:
    """A heading, sentences and at most one table."""

    title: str
    sentences: tuple[str, ...]
    sheet: Sheet | None = None


def write_model_card(summary: RunSummary, folder: Path) -> Path:
    """Write model-card.md and model-card.html into `folder`.

    Returns:
        The path of model-card.md. The same run gives the same bytes.
    """
    sections = card_sections(summary)
    html = render("model_card.html", study=summary.study, summary=summary, sections=sections)
    (folder / "model-card.html").write_text(html, encoding="utf-8")
    path = folder / "model-card.md"
    path.write_text(card_markdown(summary, sections), encoding="utf-8")
    return path


def card_sections(summary: RunSummary) -> tuple[Section, ...]:
    """Return the card, section by section."""
    tables = run_tables(summary)
    found = findings(summary, [result.site for result in tables.results])
    sheets = run_sheets(summary, tables, found)
    return (
        Section("What it is", tuple(_identity(summary))),
        Section("What it is for", USE),
        Section(
            "How it did, the worst hospital first", tuple(_verdict(tables)), sheets.get("sites")
        ),
        Section("Limits", tuple(_limits(summary, tables))),
        Section("When it doubts itself", tuple(_doubt(found))),
        Section("Data", tuple(_data(summary)), sheets.get("data")),
        Section("Training", tuple(_training(summary))),
        Section("Where it comes from", tuple(_origin(summary))),
    )


def card_markdown(summary: RunSummary, sections: tuple[Section, ...]) -> str:
    """Write the card as Markdown."""
    parts = [f"# Model card: {summary.study.name}"]
    for section in sections:
        parts += [f"## {section.title}", *section.sentences]
        if section.sheet:
            parts += [markdown_text(section.sheet), *filter(None, [section.sheet.note])]
    return "\n\n".join(parts) + "\n"


def _identity(summary: RunSummary) -> Iterator[str]:
    study, model = summary.study, summary.study.model
    network = (
        model.architecture
        if model.architecture == "small"
        else (f"{model.architecture} with encoder {model.encoder}")
    )
    yield (
        f"A network ({network}, normalisation {model.norm}) that outlines "
        f"{listed(list(study.classes))} slice by slice, trained with the method {study.method} at "
        f"{count(len(study.sources), 'hospital')} without moving an image."
    )
    yield f"Images enter at {' x '.join(map(str, study.images.size))} pixels ({study.images.fit})."
    if summary.pass_count > 1:
        yield (
            f"It looks at an image {summary.pass_count} times and feeds what it was sure of back "
            f"as a hint; guard: {study.crisp.guard}."
        )
    yield f"Model hash: `{summary.model_hash}`."


def _verdict(tables: RunTables) -> Iterator[str]:
    held_out = of_role(tables.results, "held-out")
    judged = held_out or of_role(tables.results, "source")
    dice = judged[0].overall.metrics["dice"] if judged else None
    if dice is None:
        yield "No figure: no case was measured."
        return
    worst = judged[0]
    yield (
        f"Worst {'hospital that never trained' if held_out else 'source'}: {worst.site}, mean Dice "
        f"{number(dice.mean)} ({confidence(dice)}, "
        f"{sample(worst.overall.case_count, worst.overall.patient_count)})."
    )
    groups = (
        ("hospitals that never trained", tables.held_out_dice),
        ("sources", tables.source_dice),
    )
    for name, mean in groups:
        if mean:
            yield f"Mean over {mean.site_count} {name}, each counted once: {number(mean.mean)}."


def _limits(summary: RunSummary, tables: RunTables) -> Iterator[str]:
    yield from tables.cautions
    if summary.degraded:
        yield f"{summary.degraded}."
    held_out = summary.study.held_out
    yield (
        f"It was tried at {count(len(held_out), 'hospital')} that did not train"
        f"{f' ({listed(list(held_out))})' if held_out else ''}: what it does at others is unknown."
    )


def _doubt(found: Findings) -> Iterator[str]:
    rule = found.rule
    if rule is None:
        yield "It has no risk rule: nothing tells a good answer from a bad one, so look at each."
    else:
        yield f"Risk rule. {threshold_sentence(rule)}"
        yield from found.rule_sentences
    together = [one for one in found.calibrations if one.group.role == "held-out"]
    if together:
        last = together[-1]
        yield (
            f"Calibration at {last.group.name}: ECE {number(last.error)}, class-wise "
            f"{number(last.class_error)}."
        )


def _data(summary: RunSummary) -> Iterator[str]:
    patients = sum(site.patients for site in summary.sites.values())
    yield (
        f"{count(patients, 'patient')} of {count(len(summary.sites), 'hospital')}. No image left a "
        "hospital."
    )


def _training(summary: RunSummary) -> Iterator[str]:
    study = summary.study
    training, federation, crisp = study.training, study.federation, study.crisp
    yield (
        f"{training.steps} optimiser steps a source, batch {training.batch_size}, learning rate "
        f"{training.learning_rate:g}, loss {training.loss}, augmentation {training.augmentation}; "
        f"{count(crisp.generations, 'generation')} of {count(federation.rounds, 'round')}, "
        f"aggregation {federation.aggregation}, seed {study.seed}."
    )
    yield (
        "The last generation was taken; no validation figure chose it."
        if study.evaluation.select == "last"
        else f"Generation {summary.selected_generation} was selected on the sources' validation "
        "cases alone, by the Dice of the worst source."
    )


def _origin(summary: RunSummary) -> Iterator[str]:
    yield f"Study hash: `{summary.study_hash}`."
    yield f"Started {summary.started}, engine {summary.engine}."
    versions = (f"{name} {version}" for name, version in sorted(summary.versions.items()))
    yield f"Versions: {', '.join(versions)}."
    if summary.ledger:
        last = summary.ledger[-1]
        head = f"`{last['hash']}`" if "hash" in last else "without a hash"
        yield (
            f"Ledger of who took part: {count(len(summary.ledger), 'line')} beside the sites' "
            f"records, the last of them {head}."
        )
