"""Rules about what is around the images: metrics, versions, clocks, unusable and double cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import partial

from crisp_core.schema.description import VerdictLine
from crisp_core.schema.messages import ESSENTIAL, METRICS, OPTIONAL
from crisp_server.verdict.votes import Descriptions, outvoted

CLOCK_S = 30.0
OURS = "crisp-fl"


def metrics(descriptions: Descriptions) -> Iterator[VerdictLine]:
    """Find sites that would leave out, or misspell, a metric that the others let out.

    The study goes without an optional metric; the report then lacks that site's.
    """
    allowed = {
        site: set(METRICS if d.metrics is None else d.metrics)
        for site, d in sorted(descriptions.items())
    }
    for site, names in allowed.items():
        others = set().union(*(own for other, own in allowed.items() if other != site))
        unknown = sorted(names - set(METRICS))
        missing = sorted((others & set(ESSENTIAL)) - names)
        spared = sorted((others & set(OPTIONAL)) - names)
        if unknown or missing:
            yield _metric_line(site, unknown, missing)
        elif spared:
            yield VerdictLine(
                site=site,
                level="warning",
                what="metrics",
                sentence=f"{', '.join(spared)} will not leave: the report lacks them for this site",
                fix="Name them in `metrics` of its policy.toml, or leave that key out",
            )


def software(descriptions: Descriptions) -> Iterator[VerdictLine]:
    """Find sites with other versions than the others; another one of ours stops the study."""
    for package in sorted({name for d in descriptions.values() for name in d.software}):
        found = {s: d.software.get(package, "none") for s, d in sorted(descriptions.items())}
        for one in outvoted(found, partial(_differ, found)):
            theirs = ", ".join(sorted({found[other] for other in one.against}))
            yield VerdictLine(
                site=one.site,
                level="error" if package == OURS else "warning",
                what="software",
                sentence=f"{package} {found[one.site]}; {theirs} at {one.others}",
                fix=f"Install the same {package} everywhere",
            )


def clocks(descriptions: Descriptions, window: tuple[float, float] | None) -> Iterator[VerdictLine]:
    """Find clocks that say a time at which the site cannot have answered."""
    if window is None:
        return
    first, last = window
    for site, description in sorted(descriptions.items()):
        if description.machine is None:
            continue
        clock = description.machine.clock_s
        ahead = clock - last if clock > last else min(0.0, clock - first)
        if abs(ahead) > CLOCK_S:
            yield VerdictLine(
                site=site,
                level="warning",
                what="clock",
                sentence=f"is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}",
                fix="Let its machine take the time from a time server",
            )


def cases(descriptions: Descriptions) -> Iterator[VerdictLine]:
    """Say what is odd about a site's cases, and where it says too little to be compared."""
    for site, description in sorted(descriptions.items()):
        counts = {
            "cannot be read and are left out": description.unreadable_cases,
            "have an empty mask": description.empty_masks,
            "hold the image of another case": description.duplicate_cases,
        }
        odd = [f"{count} cases {what}" for what, count in counts.items() if count]
        if odd:
            fix = "`crisp-client check` names them there"
            sentence = ", ".join(odd)
            yield VerdictLine(site=site, level="warning", what="cases", sentence=sentence, fix=fix)
        if description.data is None:
            yield VerdictLine(
                site=site,
                level="warning",
                what="cohort",
                sentence="says nothing about its images, so nothing is compared",
                fix="Its policy asks for more patients behind a figure (min_cohort) than it has",
            )


def _differ(versions: Mapping[str, str], one: str, other: str) -> bool:
    return versions[one] != versions[other]


def _metric_line(site: str, unknown: list[str], missing: list[str]) -> VerdictLine:
    nearest = {name: get_close_matches(name, METRICS, n=1) for name in unknown}
    said = [f"no metric is called {name!r}" for name in unknown]
    lacking = [f"{', '.join(missing)} would not leave"] if missing else []
    meant = [f"write {near[0]!r} for {name!r}" for name, near in nearest.items() if near]
    return VerdictLine(
        site=site,
        level="error",
        what="metrics",
        sentence="; ".join([*said, *lacking]),
        fix=f"Correct `metrics` in its policy.toml{': ' if meant else ''}{', '.join(meant)}",
    )
