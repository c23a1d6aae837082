"""The tables of one run, each as a value that is written in every format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from crisp_core.report.analysis.findings import Findings, finding_sheets
from crisp_core.report.curves import Chart
from crisp_core.report.prose import count, listed
from crisp_core.report.recursions import PassRow
from crisp_core.report.run_tables import RunTables
from crisp_core.report.sheets.sheet import (
    Entry,
    Heading,
    Sheet,
    interval_entry,
    key_of,
    named,
    words,
)
from crisp_core.report.tables import FURTHER, MAIN, Metric, SiteResult, StructureRow
from crisp_core.report.training import RoundRow, Score
from crisp_core.schema.messages import SiteDescription
from crisp_core.schema.summary import RunSummary

CELLS = (
    "Each cell: mean over cases \N{PLUS-MINUS SIGN} standard deviation over cases, and the 95 % "
    "interval of the mean, drawn by patient."
)


def run_sheets(summary: RunSummary, tables: RunTables, found: Findings) -> dict[str, Sheet]:
    """Return every table of a run by its name, in the order of the page; empty ones are absent."""
    charts = (
        *([("pass-by-pass", "Pass by pass", tables.pass_charts)] if summary.pass_count > 1 else []),
        ("validation", "Validation after every generation", tables.validation_charts),
        ("losses", "Losses at the end of every round", tables.loss_charts),
        ("hints", "Hints on the sources' training cases", tables.hint_charts),
    )
    sheets = (
        site_sheet(tables.results),
        structure_sheet(tables.results),
        further_sheet(tables.results),
        pass_sheet(tables.passes, summary.pass_count),
        *(chart_sheet(*each) for each in charts),
        *finding_sheets(found),
        generation_sheet(tables.scores, summary),
        data_sheet(summary),
        verdict_sheet(summary),
        round_sheet(tables.rounds),
        ledger_sheet(summary),
    )
    return {sheet.name: sheet for sheet in sheets if sheet and sheet.rows}


def site_sheet(results: Sequence[SiteResult]) -> Sheet:
    """One row a site, the mean over its structures: held-out first, the worst first."""
    metrics = _measured(MAIN, [result.overall for result in results])
    return Sheet(
        "sites",
        "Every site, all structures",
        (*named(("Site", "Role")), *map(_metric, metrics), *_counts(), *named(("Split",))),
        tuple(
            (words(r.site), words(r.role), *_row(r.overall, metrics), words(r.split))
            for r in results
        ),
        CELLS,
    )


def structure_sheet(results: Sequence[SiteResult]) -> Sheet:
    """One row a site and structure."""
    rows = [(result, row) for result in results for row in result.structures]
    metrics = _measured(MAIN, [row for _, row in rows])
    return Sheet(
        "structures",
        "Every site, structure by structure",
        (*named(("Site", "Structure")), *map(_metric, metrics), *_counts()),
        tuple((words(r.site), words(row.structure), *_row(row, metrics)) for r, row in rows),
        CELLS,
    )


def further_sheet(results: Sequence[SiteResult]) -> Sheet | None:
    """Surfaces, volumes and lesions of every site and structure; None where nobody sent them."""
    rows = [(result, row) for result in results for row in result.structures]
    metrics = _measured(FURTHER, [row for _, row in rows])
    if not metrics:
        return None
    return Sheet(
        "surfaces-volumes-lesions",
        "Surfaces, volumes and lesions",
        (*named(("Site", "Structure")), *map(_metric, metrics)),
        tuple(
            (
                *map(words, (result.site, row.structure)),
                *(interval_entry(row.metrics[metric.key]) for metric in metrics),
            )
            for result, row in rows
        ),
        CELLS,
    )


def pass_sheet(rows: Sequence[PassRow], passes: int) -> Sheet | None:
    """First pass, last pass and the answer of every site; None where there is one pass."""
    if passes == 1:
        return None
    places = (("first", "pass 1"), ("last", f"pass {passes}"), ("answer", "answer"))
    return Sheet(
        "first-and-last-pass",
        "First pass, last pass and the answer",
        (
            *named(("Site", "Role")),
            Heading("cases", "Cases", kind="count"),
            *(Heading(f"dice_{key}", f"Dice, {label}") for key, label in places),
            _change("last", f"pass {passes}"),
            _change("answer", "answer"),
            *(Heading(f"hd95_{key}", f"HD95, {label}", "mm", decimals=1) for key, label in places),
            *(
                Heading(f"answered_by_{n}", f"Answered by pass {n}", kind="count")
                for n in range(1, passes + 1)
            ),
        ),
        tuple(_pass_entries(row) for row in rows),
        "Change: Dice against pass 1, case by case, with the 95 % interval of its mean.",
    )


def chart_sheet(name: str, title: str, charts: Sequence[Chart]) -> Sheet | None:
    """List the numbers behind charts that share one axis; None where there is none."""
    drawn = [chart for chart in charts if not chart.empty]
    if not drawn:
        return None
    steps = tuple(
        Heading(key_of(f"{drawn[0].x_label} {x}"), f"{drawn[0].x_label} {x}")
        for x in drawn[0].x_values
    )
    return Sheet(
        name,
        title,
        (*named(("Figure", "Unit", "Site")), *steps),
        tuple(
            (*map(words, (chart.title, chart.unit, curve.site)), *map(Entry, curve.values))
            for chart in drawn
            for curve in chart.curves
        ),
    )


def generation_sheet(scores: Sequence[Score], summary: RunSummary) -> Sheet:
    """List the validation score of every generation and which one was selected."""
    return Sheet(
        "generations",
        "Validation of every generation",
        (
            *named(("Generation", "Worst source")),
            Heading("dice", "Its mean Dice"),
            *named(("Selected",)),
            Heading("model", "Model hash", kind="code"),
        ),
        tuple(
            (
                Entry(score.generation),
                words(score.worst_site or "no validation cases"),
                Entry(score.worst_dice),
                words("selected" if score.selected else ""),
                words(generation.model_hash[:16]),
            )
            for score, generation in zip(scores, summary.generations, strict=True)
        ),
    )


def data_sheet(summary: RunSummary) -> Sheet:
    """List what every site has."""
    counts = ("Patients", "Cases", "Training", "Validation", "Test", "Training slices")
    return Sheet(
        "data",
        "Data of every site",
        (
            *named(("Site", "Role")),
            *named(counts, kind="count"),
            *named(("Median spacing (mm)", "Device")),
        ),
        tuple(
            (
                *map(words, (site, own.role)),
                *map(Entry, _split_counts(own)),
                words(" \N{MULTIPLICATION SIGN} ".join(f"{x:.2f}" for x in own.spacing_mm_median)),
                words(own.device),
            )
            for site, own in sorted(summary.sites.items())
        ),
    )


def _split_counts(own: SiteDescription) -> tuple[int | None, ...]:
    """Count patients and cases; a held-out site splits nothing, whatever its files would give."""
    splits = (own.train_cases, own.validation_cases, own.test_cases)
    used = (*splits, own.train_slices) if own.role == "source" else (None, None, None, None)
    return (own.patients, sum(splits), *used)


def verdict_sheet(summary: RunSummary) -> Sheet:
    """List what the sites' data look like beside one another."""
    rows = (
        (
            words(line.site),
            words(line.level, fall=line.level != "ok"),
            *map(words, (line.what, line.sentence, line.fix)),
        )
        for line in summary.verdict
    )
    headings = named(("Site", "Level", "What", "Finding", "What to do"))
    return Sheet("verdict", "Data verdict", headings, tuple(rows))


def round_sheet(rows: Sequence[RoundRow]) -> Sheet:
    """List who trained in every round, and who was missing and why."""
    return Sheet(
        "rounds",
        "Rounds",
        (
            *named(("Generation", "Round", "Trained")),
            *named(("Cases", "Steps"), kind="count"),
            Heading("slowest", "Slowest site", "s", decimals=1),
            *named(("Missing",)),
        ),
        tuple(
            (
                *map(Entry, (row.generation, row.round_number)),
                words(listed(list(row.trained)) if row.trained else "nobody"),
                *map(Entry, (row.case_count, row.steps, row.slowest_s)),
                words("; ".join(_reasons(row)) or "nobody", fall=row.degraded),
            )
            for row in rows
        ),
    )


def ledger_sheet(summary: RunSummary) -> Sheet:
    """List the lines of the coordinator's ledger; a column a word that some line has."""
    keys = list(dict.fromkeys(key for line in summary.ledger for key in line))
    return Sheet(
        "ledger",
        f"Ledger, {count(len(summary.ledger), 'line')}",
        tuple(Heading(key, key, kind="words") for key in keys),
        tuple(tuple(Entry(line.get(key)) for key in keys) for line in summary.ledger),
    )


def _measured(metrics: Iterable[Metric], rows: Sequence[StructureRow]) -> list[Metric]:
    """Keep the metrics that some site measured: an older run has fewer."""
    return [metric for metric in metrics if any(row.metrics[metric.key] for row in rows)]


def _metric(metric: Metric) -> Heading:
    return Heading(
        metric.key,
        metric.label,
        metric.unit,
        decimals=metric.decimals,
        parts=("sd", "low", "high"),
    )


def _counts() -> tuple[Heading, ...]:
    return named(("Missed", "Both empty", "Cases", "Patients"), kind="count")


def _row(row: StructureRow, metrics: Sequence[Metric]) -> Iterator[Entry]:
    yield from (interval_entry(row.metrics[metric.key]) for metric in metrics)
    counts = (row.missed_count, row.absent_count, row.case_count, row.patient_count)
    yield from map(Entry, counts)


def _change(key: str, label: str) -> Heading:
    return Heading(f"change_{key}", f"Change, {label}", kind="difference", parts=("low", "high"))


def _pass_entries(row: PassRow) -> tuple[Entry, ...]:
    passes = (row.first, row.last, row.answer)
    gains = ((row.last_gain, row.last_fell), (row.answer_gain, row.answer_fell))
    return (
        *map(words, (row.site, row.role)),
        Entry(row.case_count),
        *(Entry(each.dice) for each in passes),
        *(Entry(gain.mean, low=gain.low, high=gain.high, fall=fell) for gain, fell in gains),
        *(Entry(each.hd95_mm) for each in passes),
        *map(Entry, row.chosen_counts),
    )


def _reasons(row: RoundRow) -> Iterator[str]:
    return (f"{site}: {reason}" for site, reason in sorted(row.missing.items()))
