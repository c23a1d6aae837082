"""A site's settings: `site.toml`, or its place in a simulation."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from crisp_core.errors import UsageError
from crisp_core.schema.manifest import SiteSettings


def load_settings(path: Path) -> SiteSettings:
    """Read a site's settings.

    Raises:
        UsageError: If the file is absent or says something unknown.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return SiteSettings.model_validate({**raw, "data": tuple(raw.get("data", ()))})
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(
            expected="a site.toml",
            got=str(error).splitlines()[0],
            where=str(path),
            fix="Write it again with every key of the documentation",
        ) from None


def settings_of_partition(run_folder: Path, partition: int) -> SiteSettings:
    """In a simulation, node number `partition` is the site of that place in the alphabet."""
    folders = sorted(path for path in (run_folder / "sites").iterdir() if path.is_dir())
    return load_settings(folders[partition] / "site.toml")
