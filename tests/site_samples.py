"""One small site on disk with its study, for tests of the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from federation_on_disk import tiny_study

from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.study import Study


def east(folder: Path, **sections: Any) -> tuple[SiteSettings, Study]:
    """Return settings of the source site east and the tiny study."""
    study = tiny_study(folder, **sections)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    settings = SiteSettings(
        site="east",
        data=study.sites["east"].data,
        work=str(work),
        device="cpu",
        threads=1,
        pseudonym_key="secret",
    )
    return settings, study
