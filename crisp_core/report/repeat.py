"""What somebody needs to run the study again: its text, its hashes, its time."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from crisp_core.schema.study import Study
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class TimeSplit:
    """Where the wall clock went."""

    total_s: float
    sites_s: float
    overhead_s: float

    @property
    def overhead_share(self) -> float:
        """Part of the time in which no site computed."""
        return self.overhead_s / self.total_s if self.total_s else 0.0


def time_split(summary: RunSummary) -> TimeSplit:
    """Split the run's time into what the sites computed and the rest."""
    overhead = max(0.0, summary.seconds - summary.site_seconds)
    return TimeSplit(summary.seconds, summary.site_seconds, overhead)


def study_text(study: Study) -> str:
    """Write a study as TOML, without the places of its data: those belong to one machine."""
    value = study.model_dump(mode="json")
    for site in value["sites"].values():
        del site["data"]
    return "\n".join(_table("", value)).strip() + "\n"


def portable(command: str) -> str:
    """Leave the folders of one machine out of a command.

    Examples:
        >>> portable("/opt/bin/crisp simulate /data/x/study.toml --run runs/one")
        'crisp simulate study.toml --run runs/one'
    """
    words = shlex.split(command)
    return shlex.join(PurePath(word).name if word.startswith("/") else word for word in words)


def _table(path: str, value: Mapping[str, Any]) -> Iterator[str]:
    for key, entry in value.items():
        if not isinstance(entry, dict) and entry is not None:
            yield f"{key} = {json.dumps(entry)}"
    for key, entry in value.items():
        if isinstance(entry, dict):
            name = f"{path}.{json.dumps(key)}" if path else key
            simple = any(not isinstance(inner, dict) for inner in entry.values())
            yield from ("", f"[{name}]") if simple else ()
            yield from _table(name, entry)
