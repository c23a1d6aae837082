"""Marks of a source's cases, by which one machine that holds several sites can look for leaks."""

from __future__ import annotations

import hashlib

from crisp_client.cases import SiteCases
from crisp_client.survey import survey_cases
from crisp_core.files.atomic import write_text
from crisp_core.files.cohort import Case
from crisp_core.numerics.site_probe import background_figures
from crisp_core.schema.marks import CaseMarks, SiteMarks

FILE = "marks.json"


def keep_marks(site: SiteCases) -> None:
    """Write the marks of a source into its own work folder; a held-out site keeps none."""
    if site.study.sites[site.settings.site].role != "source":
        return
    surveyed = survey_cases(site)
    cases = tuple(_marks(site, case, surveyed[case.case_id].image_hash) for case in site.cases)
    write_text(site.work / FILE, SiteMarks(cases=cases).model_dump_json())


def _marks(site: SiteCases, case: Case, image_hash: str) -> CaseMarks:
    prepared = site.prepared(case)
    figures = background_figures(prepared.images, prepared.labels)
    return CaseMarks(
        patient=hashlib.sha256(case.patient_id.encode()).hexdigest(),
        image=image_hash,
        background=tuple(round(float(figure), 6) for figure in figures),
    )
