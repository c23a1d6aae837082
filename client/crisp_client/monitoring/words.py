"""What moved, in words."""

from __future__ import annotations

from collections.abc import Sequence

from crisp_core.schema.drift import DriftReport, Finding, SampleReference

TESTS = {
    "ks": "Kolmogorov-Smirnov",
    "psi": "PSI",
    "ewma": "EWMA",
    "beyond": "cases beyond",
    "rate": "Fisher",
}


def spoken(feature: str) -> tuple[str, str]:
    """Return how a figure is called, and its unit.

    Examples:
        >>> spoken("spacing:z")
        ('spacing in z', ' mm')
        >>> spoken("intensity:2:high")
        ('high intensity (percentile 99) of channel 2', '')
    """
    kind, _, rest = feature.partition(":")
    if kind == "volume":
        return f"volume of {rest}", " ml"
    if kind == "spacing":
        return f"spacing in {rest}", " mm"
    if kind == "intensity":
        channel, _, which = rest.partition(":")
        words = "median intensity" if which == "median" else "high intensity (percentile 99)"
        return f"{words} of channel {channel}", ""
    return feature, ""


def medians_sentence(feature: str, before: float, now: float, moved: int, count: int) -> str:
    """Say how the figure stands to the sources' medians.

    Examples:
        >>> medians_sentence("spacing:z", 8.0, 10.0, 30, 40)
        'spacing in z rose from 8 mm to 10 mm in 30 of 40 cases'
    """
    name, unit = spoken(feature)
    if not moved:
        return f"{name} is as before, {number(now)}{unit}"
    way = "rose" if now > before else "fell"
    cases = f"in {moved} of {count} cases"
    return f"{name} {way} from {number(before)}{unit} to {number(now)}{unit} {cases}"


def sample_sentence(
    feature: str, reference: SampleReference, values: Sequence[float], now: float
) -> str:
    """Say how the figure stands to the deciles of the reference."""
    name, unit = spoken(feature)
    before = middle(reference)
    low, high = reference.quantiles[0], reference.quantiles[-1]
    above, below = sum(v > high for v in values), sum(v < low for v in values)
    if above + below == 0 or abs(above - below) * 4 < len(values):
        return f"{name} was {number(before)}{unit} and is {number(now)}{unit} (medians)"
    way, beyond, end, share = (
        ("rose", above, high, 1 - reference.levels[-1])
        if above > below
        else ("fell", below, low, reference.levels[0])
    )
    side = "above" if above > below else "below"
    return (
        f"{name} {way} from {number(before)}{unit} to {number(now)}{unit} (medians); {beyond} of "
        f"{len(values)} cases lie {side} {number(end)}{unit}, {share:.0%} of the reference's do"
    )


def rate_sentence(hits: int, count: int, before: float) -> str:
    """Say how often the risk rule asked for a look.

    Examples:
        >>> rate_sentence(12, 40, 0.1)
        'flagged cases: 12 of 40 (30%), 10% in the reference'
    """
    return f"flagged cases: {hits} of {count} ({hits / count:.0%}), {before:.0%} in the reference"


def details(finding: Finding) -> str:
    """Name the smallest p of a finding and the test that found it."""
    test, p = min(finding.p.items(), key=lambda pair: pair[1])
    named = f" [{TESTS[test]} p {number(p)}"
    return f"{named}{f', PSI {finding.psi:.2f}' if finding.psi is not None else ''}]"


def verdict(report: DriftReport) -> str:
    """Say what came out of a comparison, in one sentence."""
    if not report.findings:
        return f"{report.cases} cases: too few to compare"
    if not report.alarms:
        return f"{report.cases} cases: nothing has moved beyond chance (alpha {report.alpha:g})"
    names = [spoken(finding.feature)[0] for finding in report.alarms]
    return f"{report.cases} cases: MOVED: {', '.join(names)} (alpha {report.alpha:g})"


def middle(reference: SampleReference) -> float:
    """Return the reference's value closest to its median, between two deciles the mean of both."""
    levels, values = reference.levels, reference.quantiles
    nearest = min(abs(level - 0.5) for level in levels)
    found = [
        v for level, v in zip(levels, values, strict=True) if abs(level - 0.5) < nearest + 1e-9
    ]
    return sum(found) / len(found)


def number(value: float) -> str:
    """Write a figure with three digits.

    Examples:
        >>> number(8.0), number(0.2345), number(1234.5)
        ('8', '0.234', '1230')
    """
    return f"{float(f'{value:.3g}'):g}"
