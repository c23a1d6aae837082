"""Measure a federation of real processes, and write docs/reference/operations.md.

Example: python -m benchmarks.operations            everything but the soak, a quarter of an hour
         python -m benchmarks.operations soak --minutes 40
         python -m benchmarks.operations page       nothing: only write the page again

Needs root (network namespaces), nginx and iproute2. What is measured replaces what was measured
before, part by part, in results/operations.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.disturbances import kills
from benchmarks.federations import (
    COORDINATOR,
    Federation,
    on_hosts,
    processes,
    share_of_cpu,
    small_study,
)
from benchmarks.operations_page import PAGE, page
from crisp_core.files.phantom_cohort import write_phantom

RESULTS = Path(__file__).with_name("results") / "operations.json"
GUIDE = Path(__file__).parents[1] / "docs" / "get-started" / "two-hospitals.md"
SETTLE_S, WATCH_S, LOOK_S = 15.0, 60.0, 5.0
WARM_SHARE = 0.3
"""Of a soak, before which nothing counts: caches fill, allocators settle."""
SOAK_ROUNDS = 1000
"""More than fit: the minutes end it."""


def idle(_: float) -> dict[str, Any]:
    """Join and start four hospitals, then watch everybody wait."""
    with on_hosts(small_study()) as whole:
        whole.provision()
        whole.up()
        ready_s = [_seconds_to_ready(whole, site) for site in whole.sites]
        time.sleep(SETTLE_S)
        return {
            "sites": len(whole.sites),
            "ready_s": ready_s,
            "rows": [row for place in (COORDINATOR, "east") for row in _idle_rows(whole, place)],
        }


def _seconds_to_ready(whole: Federation, site: str) -> float:
    """Let a hospital join and start; return the seconds until it is connected."""
    whole.write_images(site)
    began = time.monotonic()
    whole.join(site)
    whole.start(site)
    return time.monotonic() - began


def _idle_rows(whole: Federation, place: str) -> list[dict[str, Any]]:
    shares = share_of_cpu(whole, place, WATCH_S)
    return [
        {"place": place, "process": one.name, "mb": one.resident_mb, "cpu": shares[one.name]}
        for one in processes(whole, place)
    ]


def rounds(*, resident: bool) -> dict[str, Any]:
    """Time the rounds of the demo's study, and what of it is not their slowest site's work."""
    tables = tomllib.loads(files("crisp_server").joinpath("example_study.toml").read_text())
    for site in tables["sites"].values():
        del site["data"]
    with on_hosts(tables) as whole:
        write_phantom("cardiac", whole.folder / "phantom", seed=1)
        for site in whole.sites:
            whole.data(site).parent.mkdir()
            (whole.folder / "phantom" / site).rename(whole.data(site))
        whole.provision()
        whole.up()
        for site in whole.sites:
            whole.join(site)
            whole.edit_settings(site, device="cpu", resident=resident)
            whole.start(site)
        run = whole.run()
        run.wait(limit_s=2400)
        work_s = [max(f.seconds for f in one.trained.values()) for one in run.rounds]
        beyond_s = [w - c for w, c in zip(run.seconds_of_rounds(), work_s, strict=True)]
        return {"sites": len(whole.sites), "work_s": work_s, "beyond_s": beyond_s}


def soak(minutes: float) -> dict[str, Any]:
    """Run rounds of a tiny study for some minutes; every process's growth, megabytes a round."""
    tables = small_study(
        dict.fromkeys(("east", "north"), "source"),
        training={"steps": SOAK_ROUNDS},
        federation={"rounds": SOAK_ROUNDS, "quorum": 2, "timeout_s": 120},
    )
    with on_hosts(tables) as whole:
        whole.everybody()
        run = whole.run()
        run.wait_until_asked("train")
        seen: dict[str, list[tuple[int, float]]] = {}
        began = time.monotonic()
        while run.command.process.poll() is None and time.monotonic() - began < 60 * minutes:
            done = run.count(event="saved", step="TrainRound")
            for place in (COORDINATOR, "east"):
                for one in processes(whole, place):
                    seen.setdefault(f"{place}/{one.name}", []).append((done, one.resident_mb))
            time.sleep(LOOK_S)
        done, missing = len(run.rounds), sum(len(one.missing) for one in run.rounds)
        if run.command.process.poll() is None:
            whole.type(COORDINATOR, "crisp", "stop")
        rows = [_growth(name, points, done) for name, points in seen.items()]
        return {"rounds": done, "missing": missing, "minutes": minutes, "rows": rows}


def _growth(name: str, points: list[tuple[int, float]], done: int) -> dict[str, Any]:
    """Return megabytes a round, by least squares over what follows the warm part."""
    late = np.array([point for point in points if point[0] >= WARM_SHARE * done])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) if len(set(late[:, 0])) > 1 else 0.0
    place, _, process = name.partition("/")
    return {"place": place, "process": process, "mb": float(late[-1, 1]), "mb_a_round": slope}


def commands(_: float) -> dict[str, Any]:
    """Count what the guide lets each side type."""
    ours, theirs = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    return {"coordinator": len(ours.splitlines()), "hospital": len(theirs.splitlines())}


PARTS: MappingProxyType[str, Callable[[float], dict[str, Any]]] = MappingProxyType(
    {
        "commands": commands,
        "idle": idle,
        "kills": lambda _: kills(),
        "rounds": lambda _: rounds(resident=True),
        "rounds-without": lambda _: rounds(resident=False),
        "soak": soak,
    }
)


def surroundings() -> dict[str, Any]:
    """Say with which command, when and on how busy a machine a part was measured."""
    return {
        "command": shlex.join(["python", "-m", "benchmarks.operations", *sys.argv[1:]]),
        "day": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load": median(os.getloadavg()),
    }


def main() -> None:
    """Measure the wanted parts, keep each as soon as it is there, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} or page")
    parser.add_argument("--minutes", type=float, default=40, help="how long the soak lasts")
    words = parser.parse_args()
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in words.parts or [name for name in PARTS if name != "soak"]:
        if part != "page":
            known[part] = {**PARTS[part](words.minutes), **surroundings()}
            RESULTS.write_text(json.dumps(known, indent=1) + "\n")
            print(part, json.dumps(known[part]))
    PAGE.write_text(page(known), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
