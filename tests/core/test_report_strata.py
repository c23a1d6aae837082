from __future__ import annotations

import pytest
from report_samples import CLASSES, bare_summary, run_summary

from crisp_core.report.analysis.taxonomy import errors
from crisp_core.report.strata import strata_rows
from crisp_core.schema.messages import CaseFigures, Evaluation, TaxonomyFigures
from crisp_core.schema.summary import RunSummary

WRONG = TaxonomyFigures(
    under_segmented=True,
    leakage_ml=2.0,
    distant_ml=1.0,
    distant_components=3,
    offset_mm=(0.0, 1.0, -2.0),
)
RIGHT = TaxonomyFigures(
    under_segmented=False, leakage_ml=0.0, distant_ml=0.0, distant_components=0, offset_mm=None
)


def with_volume(case: CaseFigures, ml: float, **update: object) -> CaseFigures:
    recursions = tuple(
        one.model_copy(
            update={
                "structures": {
                    name: figures.model_copy(
                        update={"reference_ml": ml / 2, "dice_by_third": (0.9, 0.8, 0.1)}
                    )
                    for name, figures in one.structures.items()
                }
            }
        )
        for one in case.recursions
    )
    return case.model_copy(update={"recursions": recursions, **update})


def graded(evaluation: Evaluation) -> Evaluation:
    """Case i has i + 1 ml and a disturbance of i; the first four patients have a scanner by X."""
    cases = tuple(
        with_volume(case, number + 1.0, artefact=float(number), strata=vendor(case))
        for number, case in enumerate(evaluation.cases)
    )
    return evaluation.model_copy(update={"cases": cases})


def vendor(case: CaseFigures) -> dict[str, str]:
    number = int(case.patient.rpartition("p")[2])
    return {"vendor": "X" if number < 4 and "vendor-d" in case.patient else "Y"}


def summary() -> RunSummary:
    plain = run_summary()
    generations = tuple(
        one.model_copy(update={"validation": {s: graded(e) for s, e in one.validation.items()}})
        for one in plain.generations
    )
    final = {site: graded(evaluation) for site, evaluation in plain.final.items()}
    return plain.model_copy(update={"generations": generations, "final": final})


def cells(stratum: str) -> dict[str, tuple[int, bool]]:
    return {
        row.cell: (row.patient_count, row.is_suppressed)
        for row in strata_rows(summary())
        if row.stratum == stratum
    }


def test_a_cell_of_four_patients_shows_their_number_and_nothing_of_them() -> None:
    rows = {row.cell: row for row in strata_rows(summary()) if row.stratum == "vendor"}

    assert rows["X"].patient_count == 4
    assert (rows["X"].dice, rows["X"].hd95_mm, rows["X"].sensitivity) == (None, None, None)
    assert rows["Y"].patient_count == 8 + 6 - 4
    assert rows["Y"].dice is not None


def test_thirds_of_size_are_those_of_the_sources_validation() -> None:
    """Validation holds 1 to 6 ml at each of three sites: thirds end at 3 and 4 ml or so."""
    found = cells("size, thirds")

    assert list(found) == ["lowest third", "middle third", "highest third"]
    # held-out cases have 1 to 16 and 1 to 12 ml, two cases a patient: most are large
    assert found["highest third"][0] > found["lowest third"][0]


def test_hospitals_are_cells_as_well_and_only_held_out_ones_count() -> None:
    assert set(cells("hospital")) == {"vendor-d", "vendor-e"}
    assert set(cells("artefact")) == {"lowest third", "middle third", "highest third"}


def test_the_upper_slices_have_their_own_dice() -> None:
    rows = {row.cell: row for row in strata_rows(summary()) if row.stratum == "position"}

    assert rows["upper third"].dice is not None
    assert rows["upper third"].dice.mean == pytest.approx(0.1)
    assert rows["upper third"].hd95_mm is None


def test_a_site_that_sent_nothing_optional_has_no_stratum_but_itself() -> None:
    assert {row.stratum for row in strata_rows(bare_summary())} == {"hospital"}


def test_errors_are_counted_by_site_and_one_without_any_is_left_out() -> None:
    plain = run_summary().final["vendor-d"]
    cases = tuple(
        case.model_copy(update={"errors": {CLASSES[1]: WRONG if number < 4 else RIGHT}})
        for number, case in enumerate(plain.cases)
    )
    measured = plain.model_copy(update={"cases": cases})
    summary = run_summary().model_copy(update={"final": {"vendor-d": measured}})

    (row,) = errors(summary, ["vendor-d"])

    assert (row.structure, len(row.figures)) == (CLASSES[1], 16)
    assert (row.under_segmented, row.leaking, row.distant) == (4, 4, 4)
    assert row.offset_mm == (0.0, 1.0, -2.0)  # of the cases that have one
    assert errors(bare_summary(), ["vendor-d"]) == ()
