"""Leave one hospital out on the real sets, and keep the figures in `benchmarks/results`.

Example: python -m benchmarks.loho_runs loho-sunnybrook DATA/sunnybrook_lv runs/sunnybrook
It is `crisp loho STUDY.toml --own-norm` with the data's place filled in; stopped, it continues.
`--jobs 8` runs eight federations at a time, each in a process and a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import product
from pathlib import Path

from benchmarks.compare_methods import located
from crisp_core.report.folds import Fold, read_folds
from crisp_core.report.loho import loho
from crisp_core.schema.study import Study
from crisp_server.compare import Contest
from crisp_server.loho import folds, leave_one_site_out
from crisp_server.settings import load_study
from crisp_server.simulate import SimulationOptions

STUDIES = Path(__file__).with_name("studies")
RESULTS = Path(__file__).with_name("results")
METHODS = (
    "fedavg",
    "fedavg-2.5d",
    "fedbn",
    "fedavg-group",
    "crisp-paper",
    "crisp-no-squeeze",
    "crisp",
)


def main() -> None:
    """Run every fold that is not finished yet and write the figures."""
    wanted = arguments()
    seeds = tuple(int(seed) for seed in wanted.seeds.split(","))
    contest = Contest(tuple(wanted.methods.split(",")), seeds, held_out=wanted.held_out)
    found = in_parallel(wanted, contest) if wanted.jobs else one_by_one(wanted, contest)
    out = wanted.out or RESULTS / f"{wanted.study}.json"
    kept = {"folds": [asdict(fold) for fold in found], "limits": loho(found).limits}
    out.write_text(json.dumps(kept, allow_nan=False) + "\n", encoding="utf-8")
    print(out)


def arguments() -> argparse.Namespace:
    """Read what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=sorted(path.stem for path in STUDIES.glob("loho-*.toml")))
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--held-out")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def one_by_one(wanted: argparse.Namespace, contest: Contest) -> list[Fold]:
    """Run the federations in this process."""
    options = SimulationOptions(
        threads=wanted.threads,
        cache=wanted.cache or wanted.run / "cache",
        command=shlex.join(sys.argv),
    )
    return leave_one_site_out(study_of(wanted), contest, wanted.run, options, own_norm=True)


def in_parallel(wanted: argparse.Namespace, contest: Contest) -> list[Fold]:
    """Run every federation in a process of its own, so many at a time, and put them together."""

    def one(seed: int, hospital: str, method: str) -> list[Fold]:
        place = wanted.run / f"{method}-seed{seed}-without-{hospital}"
        place.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "benchmarks.loho_runs", wanted.study, wanted.data, place),
            *("--methods", method, "--seeds", seed, "--held-out", hospital),
            *("--threads", wanted.threads, "--cache", wanted.cache or wanted.run / "cache"),
            *("--out", place / "folds.json"),
        ]
        subprocess.run(list(map(str, command)), check=True)  # noqa: S603 - this very script
        return read_folds(place / "folds.json")

    federations = product(contest.seeds, folds(study_of(wanted)), contest.methods)
    with ThreadPoolExecutor(wanted.jobs) as pool:
        return [fold for found in pool.map(lambda of: one(*of), federations) for fold in found]


def study_of(wanted: argparse.Namespace) -> Study:
    """Read the study and fill in the data's place."""
    return located(load_study(STUDIES / f"{wanted.study}.toml"), wanted.data)


if __name__ == "__main__":
    main()
