"""What was found when hospitals were held against one another for leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crisp_core.numerics.site_probe import ProbeResult
from crisp_core.report.prose import count, number
from crisp_core.report.sheets.sheet import Heading, Sheet, words


@dataclass(frozen=True)
class Leakage:
    """What two hospitals have in common, and how well one is known by its background."""

    shared_images: Mapping[str, int]
    shared_patients: Mapping[str, int]
    probe: ProbeResult | None


def leakage_sheet(found: Leakage) -> Sheet:
    """Return every check and what it found, one row a check."""
    rows = (
        ("The same image at two hospitals", _pairs(found.shared_images, "image")),
        ("The same patient id at two hospitals", _pairs(found.shared_patients, "id")),
        (
            "Masks of the held-out hospital",
            "stay closed until the final measurement (evaluation.sealed_labels)",
        ),
        (
            "Constants of intensity scaling",
            "none are fitted: every volume is scaled by its own percentiles",
        ),
        ("Grid", "the study's [images], the same for every hospital"),
        ("Hospital told from the background alone", _probe_words(found.probe)),
    )
    return Sheet(
        "leakage",
        "Checks for leaks",
        (Heading("check", "Check", kind="words"), Heading("found", "Found", kind="words")),
        tuple((words(check), words(text)) for check, text in rows),
        "The last row is a probe: linear discriminants of 18 figures of the prepared images where "
        "nothing is labelled, each case judged without its patient. Well above chance, a network "
        "can know the hospital without looking at the anatomy, so figures at its sources say "
        "little about a new hospital.",
    )


def _pairs(shared: Mapping[str, int], noun: str) -> str:
    told = [f"{pair}: {count(amount, noun)}" for pair, amount in shared.items()]
    return "; ".join(told) or "none"


def _probe_words(probe: ProbeResult | None) -> str:
    if probe is None:
        return "not probed: fewer than two hospitals have two patients"
    return (
        f"accuracy {number(probe.accuracy, 2)}, chance {number(probe.chance, 2)} "
        f"({count(probe.case_count, 'case')} of {count(probe.site_count, 'hospital')})"
    )
