"""A window of predictions against a reference: every test of every figure, then one verdict.

All p values of a comparison are adjusted together (Benjamini and Hochberg): where nothing has
moved, any alarm at all is as rare as `alpha` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from crisp_client.monitoring.figures import columns, flagged
from crisp_client.monitoring.words import (
    medians_sentence,
    middle,
    rate_sentence,
    sample_sentence,
)
from crisp_core.numerics import control_chart
from crisp_core.numerics.drift import (
    FEWEST,
    Sample,
    beyond_medians,
    beyond_share,
    detectable_shift,
    kolmogorov_smirnov,
    psi,
    rate_change,
)
from crisp_core.numerics.significance import benjamini_hochberg
from crisp_core.schema.drift import (
    AWAY,
    Chart,
    DriftReference,
    DriftReport,
    Finding,
    Judged,
    RateReference,
    SampleReference,
    SourceMedian,
    on_scale,
)
from crisp_core.schema.prediction import PredictionLine

ALPHA = 0.01
LARGE_PSI = 0.2
ALLOWED_BEYOND = 0.25
"""Share of cases that may have another spacing than every source where only medians are known."""
COARSE_SHIFT = 1.0
"""Standard deviations; a comparison that misses a shift of this size says so."""
SEED = 20260302
"""Of the windows that are drawn for control limits: the same log gives the same verdict."""


@dataclass(frozen=True)
class Tested:
    """One figure with its own p values, not yet adjusted."""

    feature: str
    before: float
    now: float
    moved: int
    p: dict[Judged, float]
    sentence: str
    psi: float | None = None
    chart: Chart | None = None


class Comparison:
    """Tests the figures of one window; a chart's limits depend on both numbers of cases."""

    def __init__(
        self, lines: Sequence[PredictionLine], reference: DriftReference, alpha: float
    ) -> None:
        self.lines, self.reference, self.alpha = lines, reference, alpha
        self.values = columns(lines)
        self._generator = np.random.default_rng(SEED)
        self._peaks: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.floating]]] = {}

    def tested(self) -> Iterator[Tested]:
        """Test every figure that both sides know."""
        for name, values in self.values.items():
            if name in self.reference.samples:
                yield self._sample(name, values, self.reference.samples[name])
            elif name in self.reference.medians:
                yield _medians(name, values, self.reference.medians[name])
        rate = flagged(self.lines)
        if rate is not None and self.reference.flagged is not None:
            yield self._rate(rate, self.reference.flagged)

    def not_compared(self) -> dict[str, str]:
        """Name what one side alone knows."""
        known = {*self.reference.samples, *self.reference.medians}
        absent = dict.fromkeys(known - set(self.values), "not in every line of the window")
        new = dict.fromkeys(set(self.values) - known, "the reference does not know it")
        both = flagged(self.lines) is not None and self.reference.flagged is not None
        rate = {} if both else {"flagged": "no risk rule judged both the window and the reference"}
        return {**absent, **new, **rate}

    def _sample(self, name: str, values: Sequence[float], kept: SampleReference) -> Tested:
        sample = Sample(kept.count, kept.mean, kept.sd, kept.levels, kept.quantiles)
        ks, index = kolmogorov_smirnov(values, sample), psi(values, sample)
        if kept.count not in self._peaks:
            null = control_chart.normal_null(len(values), kept.count, self._generator)
            self._peaks[kept.count] = control_chart.peaks_of(null)
        chart = control_chart.chart(
            [on_scale(name, value) for value in values],
            kept.mean,
            kept.sd,
            self._peaks[kept.count],
            alpha=self.alpha,
        )
        now = median(values)
        outside = sum(not kept.quantiles[0] <= value <= kept.quantiles[-1] for value in values)
        return Tested(
            feature=name,
            before=middle(kept),
            now=now,
            moved=outside,
            p={"ks": ks.p, "psi": index.p, "ewma": chart.p},
            sentence=sample_sentence(name, kept, values, now),
            psi=index.value,
            chart=_kept(chart),
        )

    def _rate(self, window: RateReference, kept: RateReference) -> Tested:
        null = control_chart.rate_null(window.count, kept.hits, kept.count, self._generator)
        mean, sd = control_chart.rate_moments(kept.hits, kept.count)
        flags = [float(line.flag != "accept") for line in self.lines]
        chart = control_chart.chart(flags, mean, sd, control_chart.peaks_of(null), alpha=self.alpha)
        before = kept.hits / kept.count
        return Tested(
            feature="flagged",
            before=before,
            now=window.hits / window.count,
            moved=window.hits,
            p={
                "rate": rate_change(window.hits, window.count, kept.hits, kept.count),
                "ewma": chart.p,
            },
            sentence=rate_sentence(window.hits, window.count, before),
            chart=_kept(chart),
        )


def compare(
    lines: Sequence[PredictionLine],
    reference: DriftReference,
    kind: Literal["model", "log"],
    alpha: float = ALPHA,
) -> DriftReport:
    """Compare a window, oldest line first, with a reference.

    Args:
        lines: At least one; all of one model.
        reference: What they are compared with.
        kind: Where the reference comes from.
        alpha: Chance of any alarm where nothing has moved.
    """
    comparison = Comparison(lines, reference, alpha)
    tested = list(comparison.tested()) if len(lines) >= FEWEST else []
    adjusted = iter(benjamini_hochberg([p for one in tested for p in one.p.values()]))
    findings = [_finding(one, {test: next(adjusted) for test in one.p}, alpha) for one in tested]
    return DriftReport(
        model_hash=lines[-1].model_hash,
        reference=kind,
        reference_cases=reference.cases,
        cases=len(lines),
        first=lines[0].time,
        last=lines[-1].time,
        alpha=alpha,
        findings=tuple(findings),
        not_compared=comparison.not_compared(),
        notes=tuple(_notes(len(lines), reference.cases, alpha, len(tested))),
    )


def _medians(name: str, values: Sequence[float], sources: Sequence[SourceMedian]) -> Tested:
    """Test a figure of which the reference knows medians only."""
    low = min(sources, key=lambda source: source.value)
    high = max(sources, key=lambda source: source.value)
    slack = AWAY if name.startswith("spacing:") else 0.0
    below = [value for value in values if value < low.value - slack * abs(low.value)]
    above = [value for value in values if value > high.value + slack * abs(high.value)]
    further = above if len(above) >= len(below) else below
    now = median(further or values)
    before = min((low.value, high.value), key=lambda value: abs(value - now))
    if not slack:
        p = beyond_medians(len(below), len(above), len(values), low.cases, high.cases)
    elif len(sources) == 1 and high.unlike is not None:
        p = rate_change(len(below) + len(above), len(values), high.unlike, high.cases)
    else:
        p = beyond_share(len(below) + len(above), len(values), ALLOWED_BEYOND)
    return Tested(
        feature=name,
        before=before,
        now=now,
        moved=len(further),
        p={"beyond": p},
        sentence=medians_sentence(name, before, now, len(further), len(values)),
    )


def _finding(tested: Tested, p: dict[Judged, float], alpha: float) -> Finding:
    """Raise the alarm where a test does; a PSI must be large as well as no chance."""
    small = tested.psi is not None and tested.psi <= LARGE_PSI
    alarm = any(value < alpha for test, value in p.items() if not (test == "psi" and small))
    return Finding(
        feature=tested.feature,
        before=tested.before,
        now=tested.now,
        moved=tested.moved,
        p=p,
        psi=tested.psi,
        chart=tested.chart,
        alarm=alarm,
        sentence=tested.sentence,
    )


def _notes(cases: int, reference_cases: int, alpha: float, figures: int) -> Iterator[str]:
    if cases < FEWEST:
        yield f"{cases} cases are too few to compare: at least {FEWEST} are needed"
        return
    if not figures:
        yield "Window and reference have no figure in common"
        return
    if reference_cases < FEWEST:
        yield f"The reference holds {reference_cases} cases: entropy and volumes are not compared"
        return
    shift = detectable_shift(cases, reference_cases, alpha / figures)
    if shift > COARSE_SHIFT:
        yield (
            f"{cases} cases against {reference_cases} are few: a shift below about "
            f"{shift:.1f} standard deviations is likely to go unseen"
        )


def _kept(chart: control_chart.Chart) -> Chart:
    return Chart(
        averages=chart.averages, low=chart.low, high=chart.high, first_outside=chart.first_outside
    )
