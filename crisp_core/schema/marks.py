"""What a site keeps of its cases to tell whether a study leaks; none of it ever leaves."""

from __future__ import annotations

from crisp_core.schema.frozen import Frozen


class CaseMarks(Frozen):
    """One case that trains or validates."""

    patient: str
    """SHA-256 of the patient's id: equal ids at two sites are seen, ids are not."""
    image: str
    """Hash of the image's voxels."""
    background: tuple[float, ...]
    """Figures of the prepared image where nothing is labelled."""


class SiteMarks(Frozen):
    """All cases of a site; `marks.json` in its own work folder."""

    cases: tuple[CaseMarks, ...]
