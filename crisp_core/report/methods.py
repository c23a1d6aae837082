"""Runs of several methods on the same sites, and the tables that set them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from crisp_core.report.grids import Column, Grid, Spread, grid, spread
from crisp_core.report.prose import duration
from crisp_core.report.recursions import PassFigures, PassRow, pass_rows
from crisp_core.schema.summary import RunSummary

Run = tuple[str, int, RunSummary]
Reader = Callable[[PassRow], float]


@dataclass(frozen=True)
class RunFigures:
    """What one run found: one method, one seed, every site."""

    method: str
    seed: int
    study_hash: str
    model_hash: str
    seconds: float
    sites: dict[str, PassRow]

    def values(self, role: str, read: Reader) -> list[float]:
        """Return one figure per site of a role."""
        return [read(row) for row in self.sites.values() if row.role == role]

    def mean(self, role: str, read: Reader) -> float | None:
        """Average over the sites of a role, each counted once."""
        values = self.values(role, read)
        return fmean(values) if values else None


@dataclass(frozen=True)
class Cohort:
    """All runs, and the order in which pages name methods and sites."""

    runs: tuple[RunFigures, ...]
    methods: tuple[str, ...]
    held_out: tuple[str, ...]
    sources: tuple[str, ...]
    samples: dict[str, str]
    """Site -> cases and, in brackets, patients; several where the seeds differ."""

    def of(self, method: str) -> list[RunFigures]:
        """Return one method's runs, one a seed."""
        return [run for run in self.runs if run.method == method]

    def dice(self, method: str, site: str) -> list[float]:
        """Return one method's Dice at one site, one value a seed."""
        return [run.sites[site].answer.dice for run in self.of(method) if site in run.sites]


def answer_dice(row: PassRow) -> float:
    """Return the Dice of a site's answer."""
    return row.answer.dice


def cohort(runs: Sequence[Run]) -> Cohort:
    """Gather runs; methods keep their order, sites are sorted by Dice, the hardest first.

    Raises:
        ValueError: If there is no run or one method has the same seed twice.
    """
    keys = [(method, seed) for method, seed, _ in runs]
    if not keys or len(set(keys)) != len(keys):
        message = f"expected at least one run and every (method, seed) once, got {keys}"
        raise ValueError(message)
    figures = tuple(_run_figures(*run) for run in runs)
    held_out, sources = (_sorted_sites(figures, role) for role in ("held-out", "source"))
    return Cohort(
        runs=figures,
        methods=tuple(dict.fromkeys(method for method, _ in keys)),
        held_out=held_out,
        sources=sources,
        samples={site: _sample(site, runs) for site in (*held_out, *sources)},
    )


def site_grid(of: Cohort, title: str, pick: Callable[[PassFigures], float], like: Column) -> Grid:
    """Set methods against sites: held-out ones first, with their mean and worst, then sources.

    Args:
        of: The runs.
        title: What the table shows.
        pick: The figure of an answer.
        like: Decimals and direction of the figure.
    """

    def read(row: PassRow) -> float:
        return pick(row.answer)

    columns = [
        *(replace(like, label=s, sample=of.samples[s], site=True) for s in of.held_out),
        *(replace(like, label=f"{word} held-out") for word in ("worst", "mean") if of.held_out),
        *(replace(like, label=s, sample=of.samples[s]) for s in of.sources),
        replace(like, label="mean of sources"),
    ]
    rows = {m: _site_row(of, of.of(m), read, like.higher_is_better) for m in of.methods}
    return grid(title, columns, rows)


def pass_grid(of: Cohort) -> Grid:
    """Set the first pass beside the last one and the answer, held-out sites and sources apart."""
    readers: tuple[tuple[str, Reader], ...] = (
        ("pass 1", lambda row: row.first.dice),
        ("last pass", lambda row: row.last.dice),
        ("answer", lambda row: row.answer.dice),
        ("answer minus pass 1", lambda row: row.answer.dice - row.first.dice),
    )
    roles = [("held-out", "held-out"), ("source", "sources")]
    columns = [
        Column(f"{words}, {label}", difference="minus" in label)
        for _, words in roles
        for label, _ in readers
    ]
    rows = {
        method: [
            spread(run.mean(role, read) for run in of.of(method))
            for role, _ in roles
            for _, read in readers
        ]
        for method in of.methods
    }
    return grid("Mean Dice of the first pass, the last pass and the answer", columns, rows)


def seed_grid(of: Cohort) -> Grid:
    """List the Dice of every single run."""
    sites = (*of.held_out, *of.sources)
    rows = {
        f"{run.method}, seed {run.seed}": [
            spread([run.sites[site].answer.dice if site in run.sites else None]) for site in sites
        ]
        for run in of.runs
    }
    columns = [Column(site, site=site in of.held_out) for site in sites]
    return grid("Dice of every run", columns, rows)


def origins(of: Cohort) -> dict[str, tuple[str, str, str]]:
    """Return run -> first digits of study and model hash, and how long it took."""
    return {
        f"{run.method}, seed {run.seed}": (
            run.study_hash[:16],
            run.model_hash[:16],
            duration(run.seconds),
        )
        for run in of.runs
    }


def _site_row(
    of: Cohort, runs: Sequence[RunFigures], read: Reader, higher_is_better: bool | None
) -> list[Spread | None]:
    worst = min if higher_is_better else max

    def at(sites: Iterable[str]) -> list[Spread | None]:
        return [spread(read(r.sites[s]) if s in r.sites else None for r in runs) for s in sites]

    row = at(of.held_out)
    if of.held_out:
        row.append(spread(worst(run.values("held-out", read), default=None) for run in runs))
        row.append(spread(run.mean("held-out", read) for run in runs))
    return [*row, *at(of.sources), spread(run.mean("source", read) for run in runs)]


def _run_figures(method: str, seed: int, summary: RunSummary) -> RunFigures:
    rows = pass_rows(summary, sorted(summary.final))
    return RunFigures(
        method=method,
        seed=seed,
        study_hash=summary.study_hash,
        model_hash=summary.model_hash,
        seconds=summary.seconds,
        sites={row.site: row for row in rows},
    )


def _sorted_sites(runs: Sequence[RunFigures], role: str) -> tuple[str, ...]:
    dice: dict[str, list[float]] = {}
    for run in runs:
        for site, row in run.sites.items():
            if row.role == role:
                dice.setdefault(site, []).append(row.answer.dice)
    return tuple(sorted(dice, key=lambda site: fmean(dice[site])))


def _sample(site: str, runs: Sequence[Run]) -> str:
    sizes = {
        (len(cases), len({case.patient for case in cases}))
        for _, _, summary in runs
        if site in summary.final and (cases := summary.final[site].cases)
    }
    return ", ".join(f"{cases} ({patients})" for cases, patients in sorted(sizes))
