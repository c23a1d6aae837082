"""SIGKILL of every process of a federation, each in the middle of a round of its own."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.federations import COORDINATOR, Federation, Run, cpu_s, on_hosts, small_study

VICTIMS = (
    (COORDINATOR, "superlink"),
    (COORDINATOR, "superexec"),
    (COORDINATOR, "serverapp"),
    (COORDINATOR, "nginx"),
    ("east", "supernode"),
    ("east", "executor"),
    ("east", "resident"),
    ("east", "daemon"),
)
SOURCES = ("east", "north")
ROLES = {**dict.fromkeys(SOURCES, "source"), "south": "held-out"}
ROUNDS = 4 * len(VICTIMS)
ROUND_STEPS = 30
WORK_S = 6.0
"""Added to each round's work by order: long enough to be in its middle."""
LIMIT_S = 300.0
SAVED = {"event": "saved", "step": "TrainRound"}


def kills() -> dict[str, Any]:
    """Kill each process once in one run.

    Returns:
        `completed`, `rounds`, `round_s` (the first round's, in which nobody is killed), and a row
        a process: seconds until it runs again, until the next answer of the killed process's site
        or, at the coordinator, until the next saved step; and in how many rounds a site lacked
        from then to the next kill.
    """
    tables = small_study(
        ROLES,
        images={"size": [64, 64]},
        training={"steps": ROUND_STEPS * ROUNDS, "batch_size": 4},
        federation={"rounds": ROUNDS, "quorum": 1, "timeout_s": 240},
    )
    with on_hosts(tables) as whole:
        whole.everybody()
        for site in SOURCES:
            whole.order(site, {"deed": "slow", "seconds": WORK_S})
        run = whole.run()
        rows = [_killed(whole, run, *victim) for victim in VICTIMS]
        for site in SOURCES:
            whole.order(site)
        run.wait(limit_s=600)
        missing = [len(one.missing) for one in run.rounds]
        ends = [row["round"] for row in rows[1:]] + [ROUNDS + 1]
        return {
            "completed": (run.path / "model.safetensors").is_file(),
            "rounds": len(run.rounds),
            "round_s": run.seconds_of_rounds()[0],
            "rows": [
                {**row, "lost": sum(missing[row["round"] - 1 : end - 1])}
                for row, end in zip(rows, ends, strict=True)
            ],
        }


def _killed(whole: Federation, run: Run, place: str, child: str) -> dict[str, Any]:
    """Kill a process in the middle of the next round and wait until its work goes on."""
    number = _wait_for_the_middle(whole, run)
    if child == "resident":
        _wait_until_it_computes(whole, place)
    began, wall = time.monotonic(), time.time()
    old = whole.kill(place, child)
    if child == "daemon":
        whole.start(place, wait=False)  # as systemd would
    whole.wait_until_replaced(place, child, old, LIMIT_S)
    restarted_s = time.monotonic() - began
    whole.wait_for(lambda: _sign(run, place, wall) > 0, LIMIT_S, f"{child} of {place} goes on")
    return {
        "process": child,
        "place": place,
        "round": number,
        "restarted_s": restarted_s,
        "recovered_s": _sign(run, place, wall) - wall,
    }


def _wait_for_the_middle(whole: Federation, run: Run) -> int:
    """Return the number of the next round when both sources are at work on it."""
    done = run.count(**SAVED)
    whole.wait_for(lambda: run.count(**SAVED) > done, LIMIT_S, "the next round")
    before = {site: _deeds(whole, site) for site in SOURCES}
    whole.wait_for(
        lambda: all(_deeds(whole, site) > before[site] for site in SOURCES), LIMIT_S, "both work"
    )
    time.sleep(WORK_S / 3)
    return 1 + int(run.count(**SAVED))


def _deeds(whole: Federation, site: str) -> int:
    """Count how often a site's work was slowed down."""
    path = whole.folder / site / "order.json.done"
    return path.read_text().count("slow") if path.exists() else 0


def _wait_until_it_computes(whole: Federation, place: str) -> None:
    resident = whole.process_id(place, "resident")
    before = cpu_s(resident)
    whole.wait_for(lambda: cpu_s(resident) > before + 0.2, LIMIT_S, "the resident computes")


def _sign(run: Run, place: str, wall: float) -> float:
    """Return when work went on after the kill; 0 if it has not yet."""
    wanted: dict[str, Any] = (
        {"event": "saved"} if place == COORDINATOR else {"event": "answered", "site": place}
    )
    times = [e["time"] for e in run.events() if e["time"] > wall and wanted.items() <= e.items()]
    return min(times, default=0.0)
