"""What leaves with a model: its card and the bundle to repeat its study."""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from pathlib import Path

import pytest
from report_samples import run_summary

from crisp_core.report.bundle import bundle, bundle_files
from crisp_core.report.model_card import card_markdown, card_sections, write_model_card
from crisp_core.schema.summary import RunSummary


def card(summary: RunSummary) -> str:
    return card_markdown(summary, card_sections(summary))


def test_a_card_names_the_worst_hospital_before_any_other() -> None:
    text = card(run_summary())

    assert text.index("Worst hospital that never trained: vendor-d") < text.index("vendor-e")
    assert "n = 16 cases of 8 patients" in text


def test_a_card_says_what_it_is_not_for_and_where_it_was_never_tried() -> None:
    text = card(run_summary(warnings=("Beware of dogs",)))

    assert "not a medical device" in text
    assert "tried at 2 hospitals that did not train (vendor-d and vendor-e)" in text
    assert "Beware of dogs" in text
    assert "DEGRADED: vendor-c missing in round 1" in text


def test_a_card_gives_the_risk_rule_or_says_that_there_is_none() -> None:
    text = card(run_summary())

    assert "from 0.30 is for a person to look at, one beyond every validation case is not" in text
    assert "It has no risk rule" in card(run_summary().model_copy(update={"risk": None}))
    assert "Only 2 of 18 validation cases of the sources failed (mean Dice below 0.7)" in text
    assert "At the held-out hospitals it caught" in text
    assert "what share of failures that catches is not known" in text


def test_a_card_is_written_as_markdown_and_as_a_page(tmp_path: Path) -> None:
    path = write_model_card(run_summary(), tmp_path)

    html = (tmp_path / "model-card.html").read_text()
    assert path.read_text().count("\n## ") == html.count("<h2>") == 8
    assert f"<code>{run_summary().model_hash}</code>" in html
    assert html.count("<script") == 1


@pytest.mark.parametrize("later", ["2027-01-01T00:00:00Z"])
def test_a_bundle_has_the_same_bytes_whenever_it_is_made(later: str) -> None:
    summary = run_summary()

    assert bundle(summary) == bundle(summary.model_copy(update={"finished": later}))


def test_a_bundle_names_every_file_with_its_hash() -> None:
    archive = zipfile.ZipFile(io.BytesIO(bundle(run_summary())))

    sums = dict(
        reversed(line.split("  ", 1)) for line in archive.read("SHA256SUMS").decode().splitlines()
    )
    assert set(archive.namelist()) == {*sums, "SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256(archive.read(name)).hexdigest() == digest


def test_a_bundle_holds_no_case_and_no_patient_under_any_name() -> None:
    summary = run_summary()
    evaluations = [
        *summary.final.values(),
        *(own for generation in summary.generations for own in generation.validation.values()),
    ]
    names = {name for own in evaluations for c in own.cases for name in (c.case, c.patient)}

    text = "".join(bundle_files(summary).values())

    assert len(names) == 96  # 64 cases of 32 patients
    assert not [name for name in names if name in text]


def test_a_bundle_hashes_the_pseudonyms_such_that_a_site_can_compare() -> None:
    summary = run_summary()
    cases = sorted(case.case for case in summary.final["vendor-d"].cases)

    row = next(
        line
        for line in bundle_files(summary)["splits.csv"].splitlines()
        if line.startswith("final,vendor-d")
    )

    digest = hashlib.sha256("".join(f"{name}\n" for name in cases).encode()).hexdigest()
    assert row == f"final,vendor-d,all,16,8,{digest}"


def test_the_study_of_a_bundle_reads_back() -> None:
    files = bundle_files(run_summary())

    study = tomllib.loads(files["study.toml"])
    assert study["name"] == "cardiac-five-vendors"
    assert "/data/x" not in "".join(files.values())
