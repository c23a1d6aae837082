"""The tables of a comparison: methods against sites, paired by patient, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from crisp_core.numerics.significance import holm
from crisp_core.report.grids import Grid, sheet_of, spread
from crisp_core.report.methods import Cohort, Run, answer_dice, origins
from crisp_core.report.pairing import (
    Difference,
    Seeds,
    default_baseline,
    difference,
    differences,
    same_patients,
)
from crisp_core.report.prose import count
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, key_of, named, words
from crisp_core.report.tables import DICE, HD95, Bootstrap, Metric

LEGEND = (
    "Means over seeds \N{PLUS-MINUS SIGN} standard deviation over seeds. Bold: the highest mean "
    "of a column (for HD95 the lowest). \N{DAGGER}: a method's worst held-out site. The column "
    "of the worst held-out site takes each seed's own worst, which need not be the same site."
)
PAIRED = "all judged patients"


@dataclass(frozen=True)
class _Step:
    """A method's Dice, averaged over its seeds."""

    worst: float | None
    mean: float | None
    sources: float | None


@dataclass(frozen=True)
class Pairs:
    """Every run by method and seed, and the sites whose patients can be paired."""

    methods: dict[str, Seeds]
    baseline: str
    sites: tuple[str, ...]
    bootstrap: Bootstrap

    @property
    def others(self) -> tuple[str, ...]:
        """The methods that are held against the baseline."""
        return tuple(method for method in self.methods if method != self.baseline)

    def between(
        self, method: str, baseline: str, metric: Metric, sites: Sequence[str]
    ) -> Difference | None:
        """Return what changing the method did to the patients of `sites`."""
        apart = differences(self.methods[method], self.methods[baseline], metric, sites)
        return difference(apart, self.bootstrap, metric.key, method, baseline, *sites)


def pairs_of(runs: Sequence[Run], of: Cohort, baseline: str | None = None) -> Pairs:
    """Pair the runs at the held-out sites, or at the sources where nobody was held out.

    Args:
        runs: Method, seed and summary of each run.
        of: The same runs, sites in the order of the page.
        baseline: Method that the others are held against; absent: `fedavg`, else the first.

    Raises:
        ValueError: If no run is of the baseline.
    """
    chosen = baseline or default_baseline(of.methods)
    if chosen not in of.methods:
        message = f"expected a baseline among {', '.join(of.methods)}, got {chosen!r}"
        raise ValueError(message)
    summaries = [summary for _, _, summary in runs]
    study = summaries[0].study
    return Pairs(
        methods={m: {seed: run for own, seed, run in runs if own == m} for m in of.methods},
        baseline=chosen,
        sites=tuple(s for s in of.held_out or of.sources if same_patients(summaries, s)),
        bootstrap=Bootstrap(study.evaluation.bootstrap_samples, study.name),
    )


def comparison_sheets(
    of: Cohort, grids: Sequence[Grid], runs: Grid, pairs: Pairs
) -> tuple[Sheet, ...]:
    """Return every table of the comparison, in the order of the page."""
    dice, hd95, passes = grids
    return (
        _with_p(sheet_of(dice, "dice", "Method", LEGEND), pairs, DICE),
        _with_p(sheet_of(hd95, "hd95", "Method", LEGEND), pairs, HD95),
        *((paired_sheet(pairs, DICE), paired_sheet(pairs, HD95)) if pairs.others else ()),
        *((ladder_sheet(of, pairs),) if len(of.methods) > 1 else ()),
        sheet_of(passes, "passes", "Method"),
        sheet_of(runs, "runs", "Run"),
        origin_sheet(of),
        sample_sheet(of),
    )


def paired_sheet(pairs: Pairs, metric: Metric) -> Sheet:
    """Hold every method against the baseline: for the patients of each site and for all together.

    p values are corrected within the sites (methods x sites comparisons) and, apart from that,
    within the last column (one comparison a method).
    """
    columns = [(site,) for site in pairs.sites] + ([pairs.sites] if len(pairs.sites) > 1 else [])
    cells = [[pairs.between(m, pairs.baseline, metric, c) for m in pairs.others] for c in columns]
    inner = _corrected([cell for column in cells[: len(pairs.sites)] for cell in column])
    outer = _corrected([cell for column in cells[len(pairs.sites) :] for cell in column])
    entries = [*inner, *outer]
    size = len(pairs.others)
    by_column = [entries[start : start + size] for start in range(0, len(entries), size)]
    return Sheet(
        f"paired-{metric.key.split('_')[0]}",
        f"{metric.label} minus that of {pairs.baseline}, patient by patient",
        (Heading("method", "Method", kind="words"), *_paired_headings(columns, cells, metric)),
        tuple(
            (words(method), *(column[row] for column in by_column))
            for row, method in enumerate(pairs.others)
        ),
        f"Mean over patients with its 95 % interval, drawn by patient; a patient's cases and seeds "
        f"are averaged first. p: Wilcoxon's signed-rank test over the patients, corrected by Holm "
        f"over methods and sites, in the last column over methods. Patients are paired by "
        f"pseudonym. {'Above' if metric.higher_is_better else 'Below'} 0 is better than "
        f"{pairs.baseline}.",
        sample_label="patients",
    )


def ladder_sheet(of: Cohort, pairs: Pairs) -> Sheet:
    """Set every method beside the one before it, in the order given: what each step added."""
    tests = _corrected(
        [pairs.between(after, before, DICE, pairs.sites) for before, after in pairwise(of.methods)]
    )
    judged = "held-out" if of.held_out else "source"
    steps = [_Step(None, None, None), *(_step(of, method, judged) for method in of.methods)]
    p_values = [None, *(test.p for test in tests)]
    return Sheet(
        "ladder",
        "Step by step: Dice and the difference to the row before",
        (
            Heading("step", "Step", kind="words"),
            Heading("worst", f"worst {judged}"),
            Heading("worst_gain", "to the row before", kind="difference"),
            Heading("mean", f"mean {judged}"),
            Heading("mean_gain", "to the row before", kind="difference", parts=("p",)),
            Heading("sources", "mean of sources"),
            Heading("sources_gain", "to the row before", kind="difference"),
        ),
        tuple(
            (words(method), *_ladder_entries(steps[row], steps[row + 1], p_values[row]))
            for row, method in enumerate(of.methods)
        ),
        "Means over sites, each counted once, and over seeds; the worst is each seed's own. p: "
        "Wilcoxon's signed-rank test over the patients of both rows, corrected by Holm over the "
        "steps.",
    )


def origin_sheet(of: Cohort) -> Sheet:
    """List where each run comes from."""
    rows = (tuple(map(words, (run, *own))) for run, own in origins(of).items())
    headings = named(("Run", "Study hash", "Model hash", "Time"))
    coded = (replace(h, kind="code") if "hash" in h.key else h for h in headings)
    return Sheet("origins", "Where each run comes from", tuple(coded), tuple(rows))


def sample_sheet(of: Cohort) -> Sheet:
    """List what every site's figures rest on."""
    roles = dict.fromkeys(of.held_out, "held-out") | dict.fromkeys(of.sources, "source")
    rows = tuple((words(s), words(role), words(of.samples[s])) for s, role in roles.items())
    return Sheet(
        "samples", "What the figures rest on", named(("Site", "Role", "Cases (patients)")), rows
    )


def _with_p(sheet: Sheet, pairs: Pairs, metric: Metric) -> Sheet:
    """Add one column: is the method different from the baseline over all judged patients?"""
    if not pairs.others or not pairs.sites:
        return sheet
    tests = _corrected(
        [pairs.between(m, pairs.baseline, metric, pairs.sites) for m in pairs.others]
    )
    values = dict(zip(pairs.others, (test.p for test in tests), strict=True))
    base = pairs.methods[pairs.baseline]
    patients = len(differences(base, base, metric, pairs.sites))
    heading = Heading("p", f"p against {pairs.baseline}", kind="p", sample=f"({patients})")
    rows = tuple((*row, Entry(values.get(str(row[0].value)))) for row in sheet.rows)
    note = (
        f"{sheet.note} p: Wilcoxon's signed-rank test over the {count(patients, 'patient')} of "
        f"{', '.join(pairs.sites)}, paired by pseudonym, corrected by Holm over the methods."
    )
    return replace(sheet, headings=(*sheet.headings, heading), rows=rows, note=note)


def _step(of: Cohort, method: str, judged: str) -> _Step:
    def mean(figures: Iterable[float | None]) -> float | None:
        found = spread(figures)
        return found.mean if found else None

    runs = of.of(method)
    return _Step(
        worst=mean(min(run.values(judged, answer_dice), default=None) for run in runs),
        mean=mean(run.mean(judged, answer_dice) for run in runs),
        sources=mean(run.mean("source", answer_dice) for run in runs),
    )


def _ladder_entries(before: _Step, own: _Step, p: float | None) -> Iterator[Entry]:
    pairs = ((before.worst, own.worst), (before.mean, own.mean), (before.sources, own.sources))
    for place, (old, new) in enumerate(pairs):
        gain = None if old is None or new is None else new - old
        yield Entry(new)
        yield Entry(gain, p=p if place == 1 else None)


def _corrected(found: Sequence[Difference | None]) -> list[Entry]:
    """Return one entry a comparison, p corrected for the number of comparisons made."""
    corrected = iter(holm([one.p for one in found if one]))
    return [_paired_entry(one, next(corrected)) if one else Entry(None) for one in found]


def _paired_entry(one: Difference, p: float) -> Entry:
    return Entry(one.interval.mean, low=one.interval.low, high=one.interval.high, p=p)


def _paired_headings(
    columns: Sequence[Sequence[str]], cells: Sequence[Sequence[Difference | None]], metric: Metric
) -> Iterator[Heading]:
    for sites, column in zip(columns, cells, strict=True):
        label = sites[0] if len(sites) == 1 else PAIRED
        counts = sorted({one.interval.cluster_count for one in column if one})
        yield Heading(
            key_of(label) if label == PAIRED else label,
            label,
            metric.unit,
            kind="difference",
            decimals=metric.decimals,
            parts=("low", "high", "p"),
            sample=" to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else "0",
        )
