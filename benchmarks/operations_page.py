"""docs/reference/operations.md from the figures of `benchmarks.operations`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

WIDTH = 100
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "operations.md"
HEAD = """# Operations

Written by `python -m benchmarks.operations` from `benchmarks/results/operations.json`. Every host
is a network namespace of one machine with real processes: nginx, Flower's SuperLink and SuperExec,
one daemon a hospital, TLS between them, small networks on CPU. Seconds of wall clock depend on
what else the machine does: its load is given.
"""
TITLES = {
    "superlink": "SuperLink",
    "superexec": "SuperExec",
    "serverapp": "ServerApp",
    "nginx": "nginx",
    "supernode": "SuperNode",
    "executor": "the site's executor",
    "resident": "resident worker",
    "daemon": "the site's daemon (started again by hand, as systemd would)",
}


def page(parts: dict[str, Any]) -> str:
    """Write the page from the parts that were measured."""
    both = {name: parts[name] for name in ("rounds", "rounds-without") if name in parts}
    whole = {**parts, "rounds": both} if both else parts
    sections = [section(whole[name]) for name, section in SECTIONS.items() if name in whole]
    return "\n".join(map(_folded, [HEAD, *sections]))


def _folded(section: str) -> str:
    """Break the lines of plain paragraphs."""
    return "\n".join(
        line if line.startswith(("|", "#")) else fill(line, WIDTH, break_on_hyphens=False)
        for line in section.split("\n")
    )


def _commands(part: dict[str, Any]) -> str:
    return (
        "## Commands\n\n"
        "From nothing to the first round, in [the guide](../get-started/two-hospitals.md): "
        f"{part['coordinator']} on the coordinator's machine, {part['hospital']} at each hospital."
        "\n"
    )


def _kills(part: dict[str, Any]) -> str:
    rows = [
        (
            TITLES[row["process"]],
            "its site" if row["place"] != "coordinator" else "coordinator",
            _s(row["restarted_s"]),
            _s(row["recovered_s"]),
            "next answer of the site" if row["place"] != "coordinator" else "next saved step",
            row["lost"],
        )
        for row in part["rows"]
    ]
    ending = "came to its end" if part["completed"] else "DID NOT COME TO ITS END"
    heads = ("killed", "at", "runs again", "recovered", "until", "site-rounds lost")
    return (
        "## What a SIGKILL costs\n\n"
        f"One run of {part['rounds']} rounds, two sources, quorum 1; in the middle of "
        f"{len(rows)} of them one process is killed. The run {ending}. Seconds count from the "
        "kill, and hold the work of the round that is still to do or to do again, 6 s by order; a "
        f"round without a kill takes {_s(part['round_s'])}. Site-rounds are lost when the other "
        "source's answer ends the round first.\n\n"
        f"{_table(heads, rows)}\n\n{_surroundings(part)}\n"
    )


def _rounds(part: dict[str, Any]) -> str:
    rows = [
        (
            {"rounds": "with", "rounds-without": "without"}[name],
            len(one["beyond_s"]),
            _s(median(one["work_s"])),
            _s(median(one["beyond_s"])),
            _s(max(one["beyond_s"])),
        )
        for name, one in part.items()
    ]
    sites = next(iter(part.values()))["sites"]
    where = "\n".join(map(_surroundings, part.values()))
    heads = ("resident worker", "rounds", "work, median", "beyond it, median", "beyond it, most")
    return (
        "## A round beyond the slowest site's work\n\n"
        f"The study of `make demo` over TLS, {sites} sites: wall time from the "
        "question to the saved average, minus the longest training that a site reports. All sites "
        "share this machine's cores. Wanted: at most 4 s with the resident worker.\n\n"
        f"{_table(heads, rows)}\n\n{where}\n"
    )


def _idle(part: dict[str, Any]) -> str:
    rows = [
        (
            "coordinator" if row["place"] == "coordinator" else "a hospital",
            row["process"],
            f"{row['mb']:.0f} MB",
            f"{row['cpu']:.1%}",
        )
        for row in part["rows"]
    ]
    return (
        "## Waiting for work\n\n"
        f"{part['sites']} connected hospitals, no run, one minute. Resident memory of each "
        "supervised process with what it has started, pages that they share counted twice; CPU as "
        f"a share of one core.\n\n{_table(('where', 'process', 'memory', 'CPU'), rows)}\n\n"
        "From the hospital's `join` to its connection: median "
        f"{_s(median(part['ready_s']))}, longest {_s(max(part['ready_s']))}. Wanted: under 30 s."
        f"\n\n{_surroundings(part)}\n"
    )


def _soak(part: dict[str, Any]) -> str:
    rows = [
        (
            "coordinator" if row["place"] == "coordinator" else "a hospital",
            row["process"],
            f"{row['mb']:.0f} MB",
            f"{1000 * row['mb_a_round']:+.1f} kB",
        )
        for row in part["rows"]
    ]
    heads = ("where", "process", "memory at the end", "growth a round")
    return (
        "## Hundreds of rounds\n\n"
        f"{part['rounds']} rounds of a tiny study, two hospitals, {part['missing']} site-rounds "
        "missing. Growth by least squares over the last 70 % of the rounds.\n\n"
        f"{_table(heads, rows)}\n\n{_surroundings(part)}\n"
    )


SECTIONS = {
    "commands": _commands,
    "kills": _kills,
    "rounds": _rounds,
    "idle": _idle,
    "soak": _soak,
}


def _surroundings(part: dict[str, Any]) -> str:
    return (
        f"Measured on {part['day']} with `{part['command']}` on {part['cores']} cores, load "
        f"{part['load']:.0f}."
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s"
