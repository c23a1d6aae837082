"""The tables and curves of a stress test: means over cases, always beside the clean score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from crisp_core.errors import RunStateError
from crisp_core.numerics.statistics import Interval
from crisp_core.numerics.stress import drops, relative_drop, worst_severity
from crisp_core.report.curves import Chart, Curve
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, words
from crisp_core.report.tables import DICE, HD95, Bootstrap, Metric
from crisp_core.schema.stress import CLEAN, StressAnswer, StressPlan

MEAN = "mean over corruptions"
SAMPLES = 2000
PERCENT = 100


@dataclass(frozen=True)
class Score:
    """How a figure is read from an answer: one structure, or the mean over all."""

    metric: Metric
    structures: tuple[str, ...]

    def of(self, answer: StressAnswer) -> float:
        """Return the figure of one case."""
        read = [answer.structures[name] for name in self.structures]
        return fmean(one.dice if self.metric is DICE else one.hd95_mm for one in read)


@dataclass(frozen=True)
class Scores:
    """Every figure of the cases that are whole.

    Attributes:
        plan: What was tried.
        cases: Whole cases, in the plan's order.
        patients: Patient of each.
        answers: (model, corruption, severity) -> one answer a case, in that order.
    """

    plan: StressPlan
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    answers: dict[tuple[str, str, int], tuple[StressAnswer, ...]]

    def per_case(self, model: str, step: tuple[str, int], score: Score) -> list[float]:
        """Return one figure a case."""
        return [score.of(one) for one in self.answers[model, *step]]

    def mean(self, model: str, step: tuple[str, int], score: Score) -> float:
        """Return the mean over the cases."""
        return fmean(self.per_case(model, step, score))

    def means(self, model: str, corruption: str, score: Score) -> list[float]:
        """Return the mean over the cases, one a severity."""
        return [self.mean(model, (corruption, s), score) for s in self.plan.severities]

    def drops_of(self, model: str, corruption: str, score: Score) -> tuple[float, ...]:
        """Return the drop against the clean mean, one a severity."""
        clean = self.mean(model, (CLEAN, 0), score)
        better = score.metric.higher_is_better
        return drops(clean, self.means(model, corruption, score), higher_is_better=better)

    def case_drops(self, model: str, corruption: str, score: Score) -> list[float]:
        """Return the mean drop over severities, one a case."""
        better = score.metric.higher_is_better
        clean = self.per_case(model, (CLEAN, 0), score)
        rows = [self.per_case(model, (corruption, s), score) for s in self.plan.severities]
        columns = zip(*rows, strict=True)
        return [
            fmean(drops(own, column, higher_is_better=better))
            for own, column in zip(clean, columns, strict=True)
        ]


def scores_of(plan: StressPlan, answers: Sequence[StressAnswer]) -> Scores:
    """Gather the answers of every case that has all of them.

    Raises:
        RunStateError: If no case is whole.
    """
    known = {answer.key: answer for answer in answers}
    names = [model.name for model in plan.models]
    whole = [
        case
        for case in plan.cases
        if all((name, case, *step) in known for name in names for step in plan.steps)
    ]
    if not whole:
        raise RunStateError(
            expected="at least one case with all its answers",
            got="none yet",
            where=plan.data,
            fix="Let the test go on: the same command continues",
        )
    return Scores(
        plan=plan,
        cases=tuple(whole),
        patients=tuple(known[names[0], case, CLEAN, 0].patient for case in whole),
        answers={
            (name, *step): tuple(known[name, case, *step] for case in whole)
            for name in names
            for step in plan.steps
        },
    )


def stress_sheets(of: Scores) -> tuple[Sheet, ...]:
    """Return every table: Dice and HD95 of each model, then structure by structure."""
    models = of.plan.models
    return tuple(
        sheet
        for place, model in enumerate(models)
        for sheet in (
            _score_sheet(of, model.name, DICE, place),
            _score_sheet(of, model.name, HD95, place),
            _structure_sheet(of, model.name, place),
        )
    )


def stress_charts(of: Scores) -> tuple[Chart, ...]:
    """Return Dice over severity, one chart a corruption and one curve a model; 0 is clean."""
    score = Score(DICE, of.plan.classes)
    names = [model.name for model in of.plan.models]
    return tuple(
        _chart(of, corruption, {name: _curve(of, name, corruption, score) for name in names})
        for corruption in of.plan.corruptions
    )


def structure_charts(of: Scores) -> tuple[Chart, ...]:
    """Return the first model's Dice over severity, one curve a structure."""
    model = of.plan.models[0].name
    return tuple(
        _chart(
            of,
            corruption,
            {name: _curve(of, model, corruption, Score(DICE, (name,))) for name in of.plan.classes},
        )
        for corruption in of.plan.corruptions
    )


def _chart(of: Scores, title: str, curves: dict[str, tuple[float, ...]]) -> Chart:
    drawn = tuple(Curve(name, "", values) for name, values in curves.items())
    return Chart(title, "", "Severity", (0, *of.plan.severities), drawn)


def _curve(of: Scores, model: str, corruption: str, score: Score) -> tuple[float, ...]:
    return (of.mean(model, (CLEAN, 0), score), *of.means(model, corruption, score))


def _score_sheet(of: Scores, model: str, metric: Metric, place: int) -> Sheet:
    baseline = of.plan.models[1].name if place == 0 and len(of.plan.models) > 1 else None
    unit, decimals = metric.unit, metric.decimals
    headings = (
        Heading("corruption", "Corruption", kind="words"),
        Heading("clean", "Clean", unit, decimals=decimals),
        *(Heading(f"severity_{s}", f"{s}", unit, decimals=decimals) for s in of.plan.severities),
        Heading("drop", "Mean drop", unit, "difference", decimals, ("low", "high")),
        Heading("worst", "Worst", unit, decimals=decimals),
        Heading("worst_severity", "at severity", kind="count"),
        *([Heading("relative", "Drop / baseline's", "%", decimals=0)] if baseline else []),
    )
    rows = [*_rows(of, model, baseline, Score(metric, of.plan.classes))]
    name = "baseline-" if place else ""
    return Sheet(
        f"stress-{name}{metric.key.split('_')[0]}",
        f"{metric.label} of {model} under every corruption",
        headings,
        tuple(rows),
        _note(of, metric, baseline),
    )


def _rows(
    of: Scores, model: str, baseline: str | None, score: Score
) -> Iterator[tuple[Entry, ...]]:
    bootstrap = Bootstrap(SAMPLES, model)
    clean = of.mean(model, (CLEAN, 0), score)
    better = score.metric.higher_is_better
    all_means, all_drops, all_relative = [], [], []
    for corruption in of.plan.corruptions:
        means, per_case = (
            of.means(model, corruption, score),
            of.case_drops(model, corruption, score),
        )
        worst = worst_severity(means, of.plan.severities, higher_is_better=better)
        relative = _relative(of, model, baseline, corruption, score)
        words_of_key = (corruption, score.metric.key)
        interval = bootstrap.interval(per_case, of.patients, *words_of_key)
        all_means.append(means)
        all_drops.append(per_case)
        all_relative.append(relative)
        yield (
            words(corruption),
            Entry(clean),
            *map(Entry, means),
            _with_ends(interval),
            Entry(means[of.plan.severities.index(worst)]),
            Entry(worst),
            *([Entry(relative)] if baseline else []),
        )
    columns = [fmean(column) for column in zip(*all_means, strict=True)]
    per_case = [fmean(column) for column in zip(*all_drops, strict=True)]
    worst = worst_severity(columns, of.plan.severities, higher_is_better=better)
    known = [one for one in all_relative if one is not None]
    yield (
        words(MEAN),
        Entry(clean),
        *map(Entry, columns),
        _with_ends(bootstrap.interval(per_case, of.patients, MEAN, score.metric.key)),
        Entry(columns[of.plan.severities.index(worst)]),
        Entry(worst),
        *([Entry(fmean(known) if known else None)] if baseline else []),
    )


def _with_ends(interval: Interval) -> Entry:
    return Entry(interval.mean, low=interval.low, high=interval.high)


def _relative(
    of: Scores, model: str, baseline: str | None, corruption: str, score: Score
) -> float | None:
    if baseline is None:
        return None
    own, other = (of.drops_of(name, corruption, score) for name in (model, baseline))
    share = relative_drop(own, other)
    return None if share is None else PERCENT * share


def _structure_sheet(of: Scores, model: str, place: int) -> Sheet:
    scores = {name: Score(DICE, (name,)) for name in of.plan.classes}
    headings = [Heading("corruption", "Corruption", kind="words")]
    for name in of.plan.classes:
        headings += [
            Heading(f"{name}_drop", f"{name}: mean drop", kind="difference"),
            Heading(f"{name}_worst", f"{name}: worst"),
        ]
    rows = []
    for corruption in of.plan.corruptions:
        row = [words(corruption)]
        for score in scores.values():
            row += [
                Entry(fmean(of.drops_of(model, corruption, score))),
                Entry(min(of.means(model, corruption, score))),
            ]
        rows.append(tuple(row))
    clean = [words(CLEAN)]
    for score in scores.values():
        clean += [Entry(None), Entry(of.mean(model, (CLEAN, 0), score))]
    return Sheet(
        f"stress-{'baseline-' if place else ''}structures",
        f"Dice of {model}, structure by structure",
        tuple(headings),
        (tuple(clean), *rows),
        "Mean drop over the severities and the mean Dice at the worst of them; the first row is "
        "the clean score.",
    )


def _note(of: Scores, metric: Metric, baseline: str | None) -> str:
    way = "Dice lost" if metric is DICE else "millimetres gained"
    note = (
        f"Means over {len(of.cases)} cases of {len(set(of.patients))} patients, on the grid of the "
        "images as they came, lost slices included; a case's figure is the mean over its "
        f"structures. Mean drop: {way} against the clean score, averaged over the severities, with "
        "its 95 % interval, drawn by patient. An empty answer to a reference that is not empty is "
        "Dice 0 and the volume's diagonal."
    )
    if baseline is None:
        return note
    return (
        f"{note} Drop / baseline's: the mean drop as a share of that of {baseline}, averaged over "
        "corruptions in the last row; absent where the baseline loses less than 0.005."
    )
