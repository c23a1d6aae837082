"""Does a study leak? Patients and images at two hospitals, and hospitals known by their background.

The marks lie in the sites' own folders and never leave them; only a simulation, where all sites are
on one machine, has them side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np

from crisp_core.errors import StudyError
from crisp_core.numerics.site_probe import site_probe
from crisp_core.report.leakage import Leakage
from crisp_core.schema.marks import CaseMarks, SiteMarks


def marks_of(runs: Iterable[Path]) -> dict[str, SiteMarks]:
    """Read the marks of every source of these run folders; site -> marks."""
    found = {}
    for run in runs:
        for path in sorted((run / "sites").glob("*/marks.json")):
            found[path.parent.name] = SiteMarks.model_validate_json(path.read_bytes())
    return dict(sorted(found.items()))


def leakage_of(marks: Mapping[str, SiteMarks]) -> Leakage:
    """Compare the sites with one another."""
    rows = [(site, case) for site, own in marks.items() for case in own.cases]
    probe = site_probe(
        np.array([case.background for _, case in rows]),
        [site for site, _ in rows],
        [case.patient for _, case in rows],
    )
    return Leakage(
        shared_images=_shared(marks, lambda case: case.image),
        shared_patients=_shared(marks, lambda case: case.patient),
        probe=probe,
    )


def insist_on_disjoint(leakage: Leakage) -> None:
    """Refuse hospitals that share an image: one of them is not held out when it seems to be.

    Raises:
        StudyError: If two do.
    """
    for pair, count in leakage.shared_images.items():
        raise StudyError(
            expected="hospitals without a common case",
            got=f"{count} images at both {pair}",
            where="the sites' folders",
            fix="Take each case away from one of the two",
        )


def _shared(marks: Mapping[str, SiteMarks], key: Callable[[CaseMarks], str]) -> dict[str, int]:
    """Return "one and other" -> how many keys both have, where they have any."""
    own = {site: {key(case) for case in found.cases} for site, found in marks.items()}
    pairs = {f"{a} and {b}": len(own[a] & own[b]) for a, b in combinations(own, 2)}
    return {pair: count for pair, count in pairs.items() if count}
