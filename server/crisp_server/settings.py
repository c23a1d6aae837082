"""Read a study file: one sentence for everything that can be wrong with it."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from crisp_core.errors import StudyError
from crisp_core.numerics.aggregation.registry import rules
from crisp_core.schema.methods import with_preset
from crisp_core.schema.study import SiteEntry, Study


def load_study(path: Path, *, method: str | None = None, seed: int | None = None) -> Study:
    """Read a study from TOML; the places that it names are taken relative to the file.

    Args:
        path: The study file.
        method: Method word that replaces the file's.
        seed: Seed that replaces the file's.

    Raises:
        StudyError: If the file is absent, is not TOML, or says something that cannot be run.
    """
    raw = _read_toml(path)
    if method is not None:
        raw["method"] = method
    if seed is not None:
        raw["seed"] = seed
    return _absolute(parse_study(with_preset(raw), where=str(path)), path.parent)


def parse_study(raw: Mapping[str, Any], *, where: str) -> Study:
    """Check a study's tables and turn the first fault into a sentence."""
    try:
        study = Study.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        raise _study_error(error, where) from None
    if study.federation.aggregation not in (known := sorted(rules())):
        raise StudyError(
            expected=f"one of {', '.join(known)}",
            got=repr(study.federation.aggregation),
            where=f"federation.aggregation in {where}",
            fix="Correct that value",
        )
    return study


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(
            expected="a study file",
            got=error.strerror or "an unreadable file",
            where=str(path),
            fix="Give the path of a TOML file; `crisp example` prints one",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StudyError(
            expected="TOML", got=str(error), where=str(path), fix="Mend that line"
        ) from None


def _study_error(error: ValidationError, where: str) -> StudyError:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"]) or "study"
    if fault["type"] == "extra_forbidden":
        return StudyError(
            expected="a known key",
            got=f"{place!r}",
            where=where,
            fix=_nearest(fault["loc"]),
        )
    if fault["type"] == "missing":
        return StudyError(
            expected=f"the key {place!r}", got="nothing", where=where, fix="Add it to the study"
        )
    if fault["type"] == "value_error":
        return StudyError(
            expected="keys that go together",
            got=fault["msg"].removeprefix("Value error, "),
            where=f"{place} in {where}",
            fix="Change one of them",
        )
    return StudyError(
        expected=fault["msg"].removeprefix("Input should be "),
        got=repr(fault["input"])[:80],
        where=f"{place} in {where}",
        fix="Correct that value",
    )


def _nearest(place: tuple[int | str, ...]) -> str:
    names = _known_keys(place[:-1])
    close = difflib.get_close_matches(str(place[-1]), names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}"
    return f"Known keys here: {', '.join(sorted(names))}"


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Study
    for part in place:
        if part == "sites" or not isinstance(part, str):
            continue
        field = model.model_fields.get(part)
        if field is None:
            model = SiteEntry
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return list(model.model_fields)


def _absolute(study: Study, folder: Path) -> Study:
    """Take every place that the study names relative to its file."""
    sites = {
        name: site.model_copy(
            update={
                "data": tuple(_from(folder, place) for place in site.data),
                "also": tuple((_from(folder, place), *rest) for place, *rest in site.also),
            }
        )
        for name, site in study.sites.items()
    }
    weights = study.model.encoder_weights
    place = str((folder / weights).resolve()) if weights else None
    model = study.model.model_copy(update={"encoder_weights": place})
    return study.model_copy(update={"sites": sites, "model": model})


def _from(folder: Path, place: str) -> str:
    return str((folder / place).resolve())
