"""A site's own page: its last measurement with its pictures and its own names. It stays here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from crisp_client.cases import open_cases
from crisp_client.measurement import Measurement, last_measurement
from crisp_core.errors import CrispError
from crisp_core.report.site_page import SitePage, write_site_page
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.summary import Panel

PRIVATE = 0o700


def write_own_page(settings: SiteSettings, folder: Path, *, names: bool) -> Path:
    """Write the page of this site's last measurement and every table of it.

    Args:
        settings: Of this site.
        folder: Made if it is not there, for this user alone.
        names: Whether cases and patients get the names that the site knows them by.

    Raises:
        RunStateError: If nothing was measured here yet.
    """
    measured, work = last_measurement(Path(settings.work)), Path(settings.work)
    known = _names(settings, measured) if names else {}
    panels = _panels(work / "panels.json")
    folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    page = SitePage(
        study=measured.study,
        model_hash=measured.model_hash,
        generation=measured.generation,
        evaluation=measured.evaluation.model_copy(
            update={
                "cases": tuple(
                    case.model_copy(
                        update={
                            "case": known.get(case.case, case.case),
                            "patient": known.get(case.patient, case.patient),
                        }
                    )
                    for case in measured.evaluation.cases
                )
            }
        ),
        measured=measured.measured,
        risk=measured.risk,
        versions={"crisp-fl": version("crisp-fl")},
        panels=tuple(
            panel.model_copy(update={"case": known.get(panel.case, panel.case)}) for panel in panels
        ),
    )
    return write_site_page(page, folder)


def _names(settings: SiteSettings, measured: Measurement) -> Mapping[str, str]:
    """Resolve pseudonyms; without the data they stay as they are."""
    try:
        site = open_cases(settings, measured.study)
    except (CrispError, OSError):
        return {}
    names = {name for case in site.cases for name in (case.case_id, case.patient_id)}
    return {site.pseudonym(name): name for name in names}


def _panels(path: Path) -> tuple[Panel, ...]:
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return tuple(Panel.model_validate(row) for row in rows)
