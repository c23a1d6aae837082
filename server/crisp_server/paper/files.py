"""Studies on disk as a person reads them, and their runs beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from crisp_core.errors import UsageError
from crisp_core.files.atomic import write_text
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RunSummary
from crisp_server.settings import load_study
from crisp_server.simulate import SimulationOptions, start
from crisp_server.store import RunFolder
from crisp_server.summary import summarise

RUNS = "runs"
RunOne = Callable[[str, RunFolder], RunSummary]


def write_studies(studies: Iterable[Mapping[str, Any]], folder: Path) -> tuple[Path, ...]:
    """Write one TOML file a study; each is checked as `crisp simulate` would.

    Raises:
        StudyError: If one cannot be run.
    """
    written = []
    for study in studies:
        path = folder / f"{study['name']}.toml"
        write_text(path, as_toml(study))
        load_study(path)
        written.append(path)
    return tuple(written)


def as_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Write a study: JSON's strings, numbers, lists and truths are TOML's too.

    Examples:
        >>> print(as_toml({"name": "s", "sites": {"a": {"role": "source"}}}), end="")
        name = "s"
        <BLANKLINE>
        [sites.a]
        role = "source"
    """
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    text = "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in plain.items())
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{prefix}{key}"
            inner = as_toml(value, f"{name}.")
            header = "" if inner.startswith("\n") else f"\n[{name}]\n"
            text += header + inner
    return text


def run_studies(paths: Iterable[Path], options: SimulationOptions, run_one: RunOne) -> None:
    """Run each study that is not finished yet; one that was stopped continues where it was.

    Raises:
        UsageError: If a run folder is of another study.
    """
    for path in paths:
        study, place = load_study(path), path.parent / RUNS / path.stem
        run = RunFolder.open(place) if RunFolder.started(place) else start(study, place, options)
        _insist_on_same(run, study)
        run_one(path.stem, run)


def _insist_on_same(run: RunFolder, study: Study) -> None:
    if run.study != study:
        fix = "Name another folder with --out"
        raise UsageError(
            expected="a run of this study", got="one of another", where=str(run.path), fix=fix
        )


def finished(folder: Path) -> Iterator[RunSummary]:
    """Read every finished run in a folder, or in its `runs`.

    Raises:
        UsageError: If there is none.
    """
    count = 0
    for place in sorted([*folder.glob("*/study.json"), *folder.glob(f"{RUNS}/*/study.json")]):
        run = RunFolder.open(place.parent)
        saved = run.load()
        if saved is not None and saved[1].final:
            count += 1
            yield summarise(run)
    if count == 0:
        fix = "Run the studies first: crisp paper mnms --data DIR --run"
        raise UsageError(expected="finished runs", got="none", where=str(folder), fix=fix)
