"""Whose a case is, where its data set does not say: a table `sites.csv` beside it.

case,site[,vendor,patient,split]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from crisp_core.files.case_table import SPLITS
from crisp_core.files.cohort import Case, Flaw
from crisp_core.files.layouts.layout import DataSet, flaw
from crisp_core.files.rows import read_rows, row_error

FIX = "Mend the table; its columns are case,site[,vendor,patient,split]"
NAME = "sites.csv"


def with_sites(data: DataSet, folder: Path) -> DataSet:
    """Give each case the site, vendor, patient and split of its row.

    Without a table the whole folder is one site, and each case its own patient.

    Raises:
        DataError: If the table cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        name = folder.resolve().name
        said = f"No {NAME} here: one site {name!r}, and each case counts as its own patient"
        cases = tuple(replace(case, site=name) for case in data.cases)
        return replace(data, cases=cases, remarks=(*data.remarks, said))
    rows = {}
    for line, cells in read_rows(path, ("case", "site"), FIX)[1]:
        if cells["case"] in rows or not cells["site"]:
            raise row_error(path, line, "one row and a site for each case", "another thing", FIX)
        if cells.get("split", "") not in ("", *SPLITS):
            raise row_error(path, line, f"split {', '.join(SPLITS)}", repr(cells["split"]), FIX)
        rows[cells["case"]] = cells
    cases = tuple(_placed(case, rows[case.case_id]) for case in data.cases if case.case_id in rows)
    return replace(data, cases=cases, flaws=(*data.flaws, *_unplaced(data.cases, rows)))


def _placed(case: Case, cells: dict[str, str]) -> Case:
    return replace(
        case,
        site=cells["site"],
        vendor=cells.get("vendor", ""),
        patient_id=cells.get("patient") or case.patient_id,
        split=cells.get("split") or case.split,
    )


def _unplaced(cases: Iterable[Case], rows: dict[str, dict[str, str]]) -> Iterator[Flaw]:
    names = {case.case_id for case in cases}
    for name in sorted(names - set(rows)):
        yield flaw(name, f"a row in {NAME}", "none", "Add it: no case may be at no site")
    for name in sorted(set(rows) - names):
        yield flaw(name, f"a case for every row of {NAME}", "none", "Correct its name there")
