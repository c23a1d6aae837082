"""A hospital's own page: its names and pictures are on it, and nothing of anybody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_samples import case as sample_case
from report_samples import evidence, panels, reliability, risk_rule, structure
from site_samples import east

from crisp_client.cases import open_cases
from crisp_client.measurement import Measurement, keep_measurement, last_measurement
from crisp_client.own_page import write_own_page
from crisp_core.errors import RunStateError
from crisp_core.files.atomic import write_text
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import CaseFigures, Evaluation


@pytest.fixture
def measured(tmp_path: Path) -> SiteSettings:
    """The site east after a study: a measurement of two cases and the picture of one."""
    settings, study = east(tmp_path)
    site = open_cases(settings, study)
    cases = tuple(
        sample_case("vendor-d", index, 0.7).model_copy(
            update={
                "case": site.pseudonym(one.case_id),
                "patient": site.pseudonym(one.patient_id),
            }
        )
        for index, one in enumerate(site.cases[:2])
    )
    keep_measurement(
        site.work,
        Measurement(
            study=study.model_copy(update={"classes": tuple(cases[0].answer.structures)}),
            model_hash="ab" * 32,
            generation=3,
            recursions=3,
            evaluation=Evaluation(
                site="east", split="test", cases=cases, seconds=3.0, reliability=reliability(0.7)
            ),
            measured="2026-11-20T08:00:00+00:00",
        ),
    )
    panel = panels({"image": "aGk="})[0].model_copy(update={"case": cases[0].case})
    write_text(site.work / "panels.json", f"[{panel.model_dump_json()}]")
    return settings


def test_a_sites_page_has_its_pictures_and_its_own_names(
    measured: SiteSettings, tmp_path: Path
) -> None:
    html = write_own_page(measured, tmp_path / "out", names=True).read_text()

    assert "data:image/png;base64,aGk=" in html
    assert "Best case, east-0: Dice" in html
    assert last_measurement(Path(measured.work)).evaluation.cases[0].case not in html


def test_a_sites_page_can_be_written_with_pseudonyms(
    measured: SiteSettings, tmp_path: Path
) -> None:
    html = write_own_page(measured, tmp_path / "out", names=False).read_text()

    assert "east-0" not in html
    assert last_measurement(Path(measured.work)).evaluation.cases[0].case in html


def test_names_that_cannot_be_resolved_stay_pseudonyms(
    measured: SiteSettings, tmp_path: Path
) -> None:
    moved = measured.model_copy(update={"data": (str(tmp_path / "elsewhere"),)})

    html = write_own_page(moved, tmp_path / "out", names=True).read_text()

    assert last_measurement(Path(measured.work)).evaluation.cases[0].case in html


def test_the_folder_of_a_sites_page_is_open_to_its_owner_alone(
    measured: SiteSettings, tmp_path: Path
) -> None:
    page = write_own_page(measured, tmp_path / "out", names=True)

    assert page.parent.stat().st_mode & 0o077 == 0
    assert (page.parent / "tables" / "sites.csv").is_file()


def test_a_sites_page_speaks_of_one_site(measured: SiteSettings, tmp_path: Path) -> None:
    html = write_own_page(measured, tmp_path / "out", names=True).read_text()

    assert "No figures from" not in html
    assert "all held-out" not in html
    assert "took part in training" not in html  # east is a source
    assert "keep it inside the hospital" in html


def test_a_sites_page_says_what_to_do_with_each_answer(
    measured: SiteSettings, tmp_path: Path
) -> None:
    work = Path(measured.work)
    plain = last_measurement(work)
    sure, unsure = (
        case.model_copy(update={"evidence": evidence(level)})
        for case, level in zip(plain.evaluation.cases, (0.9, 0.1), strict=True)
    )
    cases = plain.evaluation.model_copy(update={"cases": (failed(sure), unsure)})
    keep_measurement(work, plain.model_copy(update={"risk": risk_rule(), "evaluation": cases}))

    page = write_own_page(measured, tmp_path / "out", names=True)

    rows = (page.parent / "tables" / "own-cases.csv").read_text().splitlines()
    assert rows[0] == "case,patient,dice,hd95_mm,flag,reasons,score"
    assert rows[1].startswith("east-0,east-p0,")
    assert ',"accept, but failed",,' in rows[1]
    assert "reject" in rows[2]
    assert "disagreement" in rows[2]
    html = page.read_text()
    assert '<strong class="fall">1</strong> of the failures passes in silence' in html


def test_without_a_rule_a_sites_page_says_that_none_came(
    measured: SiteSettings, tmp_path: Path
) -> None:
    html = write_own_page(measured, tmp_path / "out", names=True).read_text()

    assert "No risk rule came with this measurement" in html


def failed(case: CaseFigures) -> CaseFigures:
    structures = {name: structure(0.1) for name in case.answer.structures}
    answer = case.answer.model_copy(update={"structures": structures})
    return case.model_copy(update={"recursions": (answer,), "chosen": 1})


def test_before_a_measurement_there_is_no_page(tmp_path: Path) -> None:
    settings, _ = east(tmp_path)

    with pytest.raises(RunStateError, match="once a study has measured its model"):
        write_own_page(settings, tmp_path / "out", names=True)
