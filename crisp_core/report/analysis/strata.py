"""Which kind of case fails, as a table without the cells that would speak of persons."""

from __future__ import annotations

from collections.abc import Sequence

from crisp_core.numerics.strata import SMALL_CELL
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, interval_entry, named, words
from crisp_core.report.strata import StratumRow
from crisp_core.report.tables import DICE, HD95

PARTITIONS_ONLY = "position"
"""Thirds of the slices are not a partition of the patients: each has every patient."""


def strata_sheet(found: Sequence[StratumRow]) -> Sheet:
    """List the cells; of a hidden one its name alone."""
    hidden = _hidden(found)
    return Sheet(
        "strata",
        "By kind of case",
        (
            *named(("Kind", "Stratum")),
            *(
                Heading(m.key, m.label, m.unit, decimals=m.decimals, parts=("sd", "low", "high"))
                for m in (DICE, HD95)
            ),
            Heading("sensitivity", "Sensitivity", parts=("sd", "low", "high")),
            *named(("Cases", "Patients"), kind="count"),
        ),
        tuple(_row(row, hidden=place in hidden) for place, row in enumerate(found)),
        f"Of the held-out sites together, or of all where none is held out. A cell of fewer than "
        f"{SMALL_CELL} patients is not shown, nor the next smallest where the hidden one could be "
        "computed from the rest. Thirds are fixed on the sources' validation cases; artefact: by "
        "how disturbed the image looks.",
    )


def _hidden(found: Sequence[StratumRow]) -> set[int]:
    """Return the places of the small cells and, where only one is, of the next smallest."""
    hidden: set[int] = set()
    for kind in dict.fromkeys(row.stratum for row in found):
        own = [place for place, row in enumerate(found) if row.stratum == kind]
        ranked = sorted(own, key=lambda place: found[place].patient_count)
        small = [place for place in ranked if found[place].is_suppressed]
        hidden.update(ranked[:2] if len(small) == 1 and kind != PARTITIONS_ONLY else small)
    return hidden


def _row(row: StratumRow, *, hidden: bool) -> tuple[Entry, ...]:
    name = (words(row.stratum), words(row.cell))
    if hidden:
        return (*name, *(Entry(None) for _ in range(5)))
    figures = map(interval_entry, (row.dice, row.hd95_mm, row.sensitivity))
    return (*name, *figures, *map(Entry, (row.case_count, row.patient_count)))
