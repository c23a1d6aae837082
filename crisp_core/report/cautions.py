"""What a reader must know before believing the figures, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crisp_core.report.prose import listed, number, stopped
from crisp_core.report.recursions import FALL, PassRow
from crisp_core.report.tables import SiteResult, group_mean, of_role
from crisp_core.schema.summary import RunSummary

FEWEST_PATIENTS = 10
"""With fewer patients at a site the page asks to doubt the interval."""


def cautions(
    summary: RunSummary,
    results: Sequence[SiteResult],
    passes: Sequence[PassRow],
) -> tuple[str, ...]:
    """Return every caution of this run, the run's own warnings first."""
    return (
        *map(stopped, summary.warnings),
        *_trained_in_secret(summary),
        *_missing_figures(summary, results),
        *_sources_not_ahead(results),
        *_seen_cases(results),
        *_few_patients(results),
        *_falls(passes),
    )


def site_cautions(results: Sequence[SiteResult], passes: Sequence[PassRow]) -> tuple[str, ...]:
    """Return what one site must know before it believes its own figures."""
    return (*_seen_cases(results), *_few_patients(results), *_falls(passes))


def _trained_in_secret(summary: RunSummary) -> Iterator[str]:
    trained = {site for entry in summary.rounds for site in entry.trained}
    guilty = sorted(trained & set(summary.study.held_out))
    if guilty:
        yield f"Not held out: {listed(guilty)} took part in training, so its figures are void."


def _missing_figures(summary: RunSummary, results: Sequence[SiteResult]) -> Iterator[str]:
    measured = {result.site for result in results if result.overall.case_count}
    absent = sorted(set(summary.study.sites) - measured)
    if absent:
        yield f"No figures from {listed(absent)}: means over sites leave them out."
    if not of_role(results, "held-out"):
        yield (
            "No held-out hospital was measured: this report says nothing about hospitals that "
            "did not train."
        )


def _sources_not_ahead(results: Sequence[SiteResult]) -> Iterator[str]:
    held_out = group_mean(result.dice for result in of_role(results, "held-out"))
    sources = group_mean(result.dice for result in of_role(results, "source"))
    if held_out and sources and held_out.mean >= sources.mean:
        yield (
            f"Held-out sites score no lower than the sources ({number(held_out.mean)} and "
            f"{number(sources.mean)}): check that the sites differ, that no patient is at two of "
            "them, and that the sources learned at all."
        )


def _seen_cases(results: Sequence[SiteResult]) -> Iterator[str]:
    seen = [r.site for r in of_role(results, "source") if r.split != "test"]
    if seen:
        yield (
            f"The figures of {listed(seen)} include cases used in training or selection: they "
            "are too good."
        )


def _few_patients(results: Sequence[SiteResult]) -> Iterator[str]:
    few = [
        f"{result.site} ({result.overall.patient_count})"
        for result in of_role(results, "held-out")
        if 0 < result.overall.patient_count < FEWEST_PATIENTS
    ]
    if few:
        yield (
            f"Few patients at {listed(few)}: read the intervals as a lower bound on what is "
            "unknown."
        )


def _falls(passes: Sequence[PassRow]) -> Iterator[str]:
    fell = [row.site for row in passes if row.answer_fell]
    if fell:
        yield f"Against the first pass, feeding hints back cost {listed(fell)} over {FALL} Dice."
