"""A federation on one machine: every site a folder, one command from study to report."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

from crisp_core.errors import CrispError, StudyError, UsageError
from crisp_core.files.released import released_of, write_released
from crisp_core.report.page import write_report
from crisp_core.schema.manifest import RunFacts, SiteSettings
from crisp_core.schema.places import Place, exclude_each_other
from crisp_core.schema.study import SiteEntry, Study
from crisp_core.schema.summary import RunSummary
from crisp_server.events import failure_in
from crisp_server.simulation.engine import run_flower_simulation
from crisp_server.simulation.inline import run_inline
from crisp_server.store import RunFolder, unwritable
from crisp_server.summary import summarise

Engine = Literal["inline", "flower"]
Device = Literal["auto", "cpu", "cuda"]
PACKAGES = ("crisp-fl", "flwr", "torch", "numpy")
POOLED = "pooled"


@dataclass(frozen=True)
class SimulationOptions:
    """How a simulation uses this machine; none of it changes what is computed."""

    engine: Engine = "inline"
    device: Device = "auto"
    threads: int = 0
    cache: Path | None = None
    command: str = ""


def parts_of(study: Study) -> dict[str, Study]:
    """Split a study into the federations that its method stands for; name -> study.

    `local` is one federation of one per source; `pooled` is one virtual site that owns every
    source's cases; every other method is the study itself, under the name "".

    Raises:
        StudyError: If a held-out site has the name that the pooled one takes.
    """
    held_out = {name: study.sites[name] for name in study.held_out}
    one_site = study.federation.model_copy(update={"quorum": 1})
    if study.method == "pooled":
        if POOLED in held_out:
            raise StudyError(
                expected=f"no held-out site called {POOLED!r}",
                got="one",
                where="sites",
                fix="Call it otherwise: the sources together take that name",
            )
        sites = {POOLED: _joined([study.sites[name] for name in study.sources]), **held_out}
        return {"": study.model_copy(update={"sites": sites, "federation": one_site})}
    if study.method == "local":
        return {
            name: study.model_copy(
                update={"sites": {name: study.sites[name], **held_out}, "federation": one_site}
            )
            for name in study.sources
        }
    return {"": study}


def _joined(sources: Sequence[SiteEntry]) -> SiteEntry:
    """Make one site of several; folders in house format stay the short list that they were."""
    if all(site.layout == "house" and not site.select and not site.also for site in sources):
        return SiteEntry(
            role="source", data=tuple(folder for site in sources for folder in site.data)
        )
    places = [place for site in sources for place in site.places]
    also = tuple((place.folder, place.layout, place.select) for place in places)
    return SiteEntry(role="source", also=also)


def start(study: Study, folder: Path, options: SimulationOptions) -> RunFolder:
    """Make the run folder and every site's own folder in it.

    Raises:
        StudyError: If a site has no data folder, or two sites have the same.
        UsageError: If the device is not there.
        RunStateError: If the folder holds something already, or cannot be written.
    """
    _check_places(study)
    _check_device(options.device)
    sites = {name: _site_text(folder, study, name, options) for name in study.sites}
    return RunFolder.create(folder, study, facts_of(options.engine, options.command), sites)


def opened_parts(folder: Path) -> dict[str, RunFolder]:
    """Open a run, or every federation of a `local` one; keyed like `parts_of`.

    Raises:
        RunStateError: If there is none.
    """
    places = sorted(path.parent for path in folder.glob("*/study.json"))
    if RunFolder.started(folder) or not places:
        return {"": RunFolder.open(folder)}
    return {place.name: RunFolder.open(place) for place in places}


def _check_places(study: Study) -> None:
    owners: list[tuple[str, Place]] = []
    for name, site in study.sites.items():
        if not site.places:
            raise StudyError(
                expected="a data folder for every site of a simulation",
                got="none",
                where=f"sites.{name}.data",
                fix='Add data = "FOLDER" to that site',
            )
        for place in site.places:
            for owner, theirs in owners:
                if owner != name and _share_cases(place, theirs):
                    raise _taken(place, owner, name)
            owners.append((name, place))


def _share_cases(one: Place, other: Place) -> bool:
    return one.folder == other.folder and not exclude_each_other(one.select, other.select)


def _taken(place: Place, owner: str, name: str) -> StudyError:
    fix = "A hospital that trains cannot be held out: name another folder"
    if place.layout != "house":
        fix += ", or conditions that exclude each other"
    return StudyError(
        expected="each data folder at one site",
        got=f"{place.folder} at {owner!r} and {name!r}",
        where=f"sites.{name}.data",
        fix=fix,
    )


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            expected="a CUDA device", got="none", where="--device", fix="Take auto or cpu"
        )


def carry_on(run: RunFolder, on_line: Callable[[str], None]) -> RunSummary:
    """Bring a run to its end on its engine and write its report; a finished run is only reported.

    Raises:
        CrispError: Whatever ended the run, with the sentence of the site where it happened.
    """
    try:
        _run_engine(run, on_line)
    except OSError as error:
        raise unwritable(run.path, error) from error
    return reported(run)


def reported(run: RunFolder) -> RunSummary:
    """Write the report of a finished run, and `model.json` beside its weights.

    Raises:
        RunStateError: If the run is not finished, or its folder cannot be written.
    """
    summary = summarise(run)
    write_released(run.path, released_of(summary))
    try:
        write_report(summary, run.path)
    except OSError as error:
        raise unwritable(run.path, error) from error
    return summary


def _run_engine(run: RunFolder, on_line: Callable[[str], None]) -> None:
    site_count = len(run.study.sites)
    if run.facts.engine == "inline":
        run_inline(run.path, site_count)
    elif run_flower_simulation(run.path, site_count, on_line) != 0:
        raise failure_of(run)


def words_of_sites(run: RunFolder) -> list[str]:
    """Last line of each site's own log: in a simulation the reader is at the site."""
    logs = sorted((run.path / "sites").glob("*/site.log"))
    said = {log.parent.name: log.read_text("utf-8", "replace").split("\n") for log in logs}
    return [f"{site}: {lines[-2]}" for site, lines in said.items() if len(lines) > 1]


def facts_of(engine: str, command: str, home: str = "") -> RunFacts:
    """Note what is known of a run that starts now; `home` is the coordinator's, if it has one."""
    return RunFacts(
        engine=engine,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        commands=(command,),
        home=home,
    )


def _site_text(folder: Path, study: Study, name: str, options: SimulationOptions) -> str:
    settings = SiteSettings(
        site=name,
        data=study.sites[name].data,
        layout=study.sites[name].layout,
        select=study.sites[name].select,
        also=study.sites[name].also,
        follow_links=True,  # whoever simulates owns every folder
        work=str(folder.resolve() / "sites" / name),
        device=options.device,
        threads=options.threads,
        pseudonym_key=hashlib.sha256(f"{study.name}/{name}".encode()).hexdigest(),
        cache=str((options.cache / name).resolve()) if options.cache else "",
    )
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.model_dump().items()]
    return "\n".join(lines) + "\n"


def failure_of(run: RunFolder) -> CrispError:
    """Read why a run in Flower's processes ended: its own last words are in the event log."""
    return failure_in(run.path / "events.jsonl", f"crisp resume {shlex.quote(str(run.path))}")
