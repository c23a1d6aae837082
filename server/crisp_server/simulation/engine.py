"""Flower's own engine: `flwr run` on a private SuperLink, sites as Ray actors, one at a time."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from crisp_core.errors import MissingExtraError
from crisp_server.simulation.processes import (
    POLL_S,
    FlowerProcesses,
    engine_error,
    flower_processes,
)

COMMAND_TIMEOUT_S = 120.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run_flower_simulation(
    run_folder: Path,
    site_count: int,
    on_line: Callable[[str], None],
    *,
    manifest_folder: Path | None = None,
) -> int:
    """Run the federation of `run_folder` through `flwr run` and follow it to its end.

    Args:
        run_folder: Reaches both apps as run config `run`, absolute. Flower's home and logs are
            kept in its subfolder `flower`.
        site_count: Simulated SuperNodes; node config `partition-id` is 0..site_count-1.
        on_line: Called with each line of the run's log, without colours or line end.
        manifest_folder: Holds the Flower app's pyproject.toml; the package's own by default.

    Returns:
        0 when Flower says `finished:completed`, else 1; the last line says what Flower said.

    Raises:
        MissingExtraError: If Ray, which the sites run in, is not installed.
        RunStateError: If Flower's processes do not start, die early, or refuse the app.
    """
    _insist_on_ray()
    folder = run_folder.resolve()
    manifest = manifest_folder or Path(str(files("crisp_server") / "flower_app"))
    with flower_processes(folder / "flower") as flower:
        run_id = _submit(flower, manifest.resolve(), folder, site_count)
        for line in _lines(flower, run_id):
            on_line(line)
        run = _answer(flower, "ls", "simulation", "--run-id", run_id)["runs"][0]
    on_line(f"Flower run {run_id}: {run['status']} ({run['status-details']})")
    return 0 if run["status"] == "finished:completed" else 1


def _insist_on_ray() -> None:
    if find_spec("ray") is None:
        raise MissingExtraError(
            expected="Ray, which Flower's simulation runs the sites in",
            got="an installation without it",
            where="--engine flower",
            fix='Run pip install "crisp-fl[simulation]", or use the inline engine',
        )


def _submit(flower: FlowerProcesses, manifest: Path, run_folder: Path, site_count: int) -> str:
    """Start the run and return its id. One actor owns every CPU: the sites run in turn.

    Ray gives an actor as many OpenMP threads as CPUs. Both are torch's own count here, so that
    sums are split as on the inline engine.
    """
    config = flower.home / "run.toml"  # a file, because `-c` cannot quote every path
    config.write_text(f"run = {json.dumps(str(run_folder), ensure_ascii=False)}\n", "utf-8")
    cpu_count = torch.get_num_threads()
    federation = (
        f"num-supernodes={site_count} init-args-num-cpus={cpu_count} "
        f"client-resources-num-cpus={cpu_count}"
    )
    options = ("-c", str(config), "--federation-config", federation)
    return str(_answer(flower, "run", str(manifest), "simulation", *options)["run-id"])


def _answer(flower: FlowerProcesses, *arguments: str) -> dict[str, Any]:
    """Return what one `flwr ... --format json` command says; a failed one may exit with 0."""
    done = subprocess.run(  # noqa: S603 - our own words, no shell
        ["flwr", *arguments, "--format", "json"],  # noqa: S607 - its PATH starts with our scripts
        cwd=flower.home,
        env=flower.environment,
        capture_output=True,
        encoding="utf-8",
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    said = COLOUR.sub("", done.stdout)
    answer: dict[str, Any] = json.loads(said) if said.startswith("{") else {}
    if not answer.get("success"):
        reason = answer.get("error-message") or COLOUR.sub("", done.stderr) or said
        got = " ".join(str(reason).split())
        raise engine_error(expected=f"`flwr {arguments[0]}` to succeed", got=got)
    return answer


def _lines(flower: FlowerProcesses, run_id: str) -> Iterator[str]:
    """Yield the run's log line by line until Flower says that it is complete."""
    stream = flower.spawn("flwr", "log", run_id, "simulation", "--stream", log="run.log")
    rest = ""
    with (flower.home / "run.log").open(encoding="utf-8", errors="replace") as log:
        while True:
            ended = stream.poll() is not None
            *whole, rest = (rest + log.read()).split("\n")
            yield from (COLOUR.sub("", line) for line in whole if line)
            if ended:
                return
            flower.check_alive()
            time.sleep(POLL_S)
