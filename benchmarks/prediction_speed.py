"""Time a prediction against its own network: `python -m benchmarks.prediction_speed`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.findings import Findings, Row, publish
from crisp_client.device import Workbench
from crisp_client.inference import refine_case
from crisp_client.prediction.inputs import opened, sources_in
from crisp_client.prediction.predictor import TorchPredictor
from crisp_client.prediction.run import Options, predict
from crisp_core.files.checkpoint import content_hash
from crisp_core.files.orientation import grid_of
from crisp_core.files.volumes import write_map
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.model.segmenter import Segmenter
from crisp_core.schema.released import ReleasedModel
from crisp_core.schema.study import ImagesConfig, SiteEntry, Study

SHAPE = (12, 256, 256)
CASES = 2
REPEATS = 3
BUSY = 0.2
"""Cores at work for others from which on wall times are not taken."""
THREADS = 2
NOTES = (
    "Small network, 256 x 256 x 12, K = 3 recursions, N = 10 perturbations, an untrained model.",
    "Network: CPU time inside encode, perturb and decode, in the very runs that are timed.",
    "CPU times with one thread, wall times with two; GOMP_SPINCOUNT=10000, as the command sets it.",
    f"Best of {REPEATS} runs after one that is not counted: a busy neighbour lengthens a run.",
    "Wall times are left out where other jobs were running: they would measure those.",
    "Folder: wall time a case of a folder against opening and answering one after the other.",
)


@dataclass
class Stopwatch:
    """Sums what a network's own methods cost, in CPU and in wall time."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    methods: dict[str, Callable[..., object]] = field(default_factory=dict)

    def around(self, segmenter: Segmenter) -> None:
        """Time every call of the network from now on."""
        for name in ("encode", "decode", "perturb"):
            method = getattr(segmenter, name)
            object.__setattr__(segmenter, name, partial(self._timed, method))

    def _timed(self, method: Callable[..., object], *words: object) -> object:
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            return method(*words)
        finally:
            self.cpu_s += time.process_time() - cpu
            self.wall_s += time.perf_counter() - wall


def model() -> TorchPredictor:
    """Return a small network for slices of 256 x 256, K = 3, three structures."""
    study = Study(
        name="speed",
        classes=("LV", "MYO", "RV"),
        sites={"north": SiteEntry(role="source")},
        images=ImagesConfig(size=SHAPE[1:]),
    )
    weights = to_arrays(segmenter_of(study))
    released = ReleasedModel(
        study=study,
        study_hash=study.hash(),
        model_hash=content_hash(weights),
        generation=3,
        recursions=3,
        versions={},
        created="",
    )
    return TorchPredictor.of(released, weights, Workbench(torch.device("cpu")))


def write_cases(folder: Path) -> None:
    """Write noise as cases."""
    grid = grid_of(SHAPE[::-1], np.diag([1.4, 1.4, 8.0, 1.0]))
    for number in range(CASES):
        noise = np.random.default_rng(number).normal(100, 20, SHAPE).astype(np.int16)
        write_map(folder / f"case-{number}.nii.gz", noise, grid)


def timed(job: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds of one job."""
    cpu, wall = time.process_time(), time.perf_counter()
    job()
    return time.process_time() - cpu, time.perf_counter() - wall


def one_case(predictor: TorchPredictor, folder: Path, watch: Stopwatch) -> Mapping[str, float]:
    """Time recursion and whole prediction of one case, and the network within them."""
    [source] = sources_in(folder / "case-0.nii.gz")
    study = predictor.model.study
    case = opened(source, study)
    before = watch.cpu_s, watch.wall_s
    cpu, wall = timed(
        lambda: refine_case(predictor.segmenter, case.images, study, 3, "key", predictor.bench)
    )
    network = watch.cpu_s - before[0], watch.wall_s - before[1]
    with TemporaryDirectory() as out:
        whole = timed(lambda: list(predict(predictor, [source], Path(out), Options())))
    return {
        "network_cpu_s": network[0],
        "recursion_cpu_s": cpu,
        "prediction_cpu_s": whole[0],
        "network_wall_s": network[1],
        "recursion_wall_s": wall,
        "prediction_wall_s": whole[1],
    }


def folder_of_cases(predictor: TorchPredictor, folder: Path) -> Mapping[str, float]:
    """Time a folder as it is answered, and its cases one after the other."""
    sources = sources_in(folder)
    with TemporaryDirectory() as out:
        together = timed(lambda: list(predict(predictor, sources, Path(out), Options())))[1]
    with TemporaryDirectory() as out:
        apart = timed(
            lambda: [list(predict(predictor, [one], Path(out), Options())) for one in sources]
        )[1]
    return {"folder_wall_s": together / CASES, "one_by_one_wall_s": apart / CASES}


def cores_at_work(watched_s: float = 3.0) -> float:
    """Return how many cores the whole machine keeps busy while this process waits."""

    def idle_s() -> float:
        ticks = Path("/proc/stat").read_text().split(maxsplit=6)[4:6]  # idle, waiting for disks
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    before, began = idle_s(), time.perf_counter()
    time.sleep(watched_s)
    cores = os.cpu_count() or 1
    return cores - (idle_s() - before) / (time.perf_counter() - began)


def best(runs: list[Mapping[str, float]]) -> dict[str, float]:
    """Take the least of every figure."""
    return {name: round(min(run[name] for run in runs), 3) for name in runs[0]}


def wall_times(predictor: TorchPredictor, folder: Path, watch: Stopwatch) -> Mapping[str, float]:
    """Time with two threads what a user waits for."""
    torch.set_num_threads(THREADS)
    threaded = best([one_case(predictor, folder, watch) for _ in range(REPEATS)])
    folders = best([folder_of_cases(predictor, folder) for _ in range(REPEATS)])
    return {**{name: value for name, value in threaded.items() if "wall" in name}, **folders}


def main() -> None:
    """Measure and publish."""
    idle = cores_at_work() < BUSY
    torch.set_num_threads(1)
    predictor, watch = model(), Stopwatch()
    watch.around(predictor.segmenter)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_cases(folder)
        one_case(predictor, folder, watch)  # the first one pays for what is loaded once
        singles = [one_case(predictor, folder, watch) for _ in range(REPEATS)]
        figures = {name: value for name, value in best(singles).items() if "cpu" in name}
        if idle:
            figures.update(wall_times(predictor, folder, watch))
    ratio = min(one["recursion_cpu_s"] / one["network_cpu_s"] for one in singles)
    rows: list[Row] = [{"figure": key, "value": value} for key, value in figures.items()]
    rows.append(
        {"figure": "recursion / network, CPU (wanted: at most 1.2)", "value": round(ratio, 3)}
    )
    publish(Findings("prediction_speed", "Prediction against its own network", rows, NOTES))


if __name__ == "__main__":
    main()
