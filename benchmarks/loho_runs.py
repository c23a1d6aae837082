"""Leave one hospital out on the real sets, and keep the figures in `benchmarks/results`.

Example: python -m benchmarks.loho_runs loho-sunnybrook DATA/sunnybrook_lv runs/sunnybrook
It is `crisp loho STUDY.toml --own-norm` with the data's place filled in; stopped, it continues.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.compare_methods import located
from crisp_core.report.loho import loho
from crisp_server.compare import Contest
from crisp_server.loho import leave_one_site_out
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=sorted(path.stem for path in STUDIES.glob("loho-*.toml")))
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--threads", type=int, default=1)
    wanted = parser.parse_args()
    study = located(load_study(STUDIES / f"{wanted.study}.toml"), wanted.data)
    seeds = tuple(int(seed) for seed in wanted.seeds.split(","))
    options = SimulationOptions(
        threads=wanted.threads, cache=wanted.run / "cache", command=shlex.join(sys.argv)
    )
    folds = leave_one_site_out(study, Contest(METHODS, seeds), wanted.run, options, own_norm=True)
    kept = {"folds": [asdict(fold) for fold in folds], "limits": loho(folds).limits}
    path = RESULTS / f"{wanted.study}.json"
    path.write_text(json.dumps(kept, allow_nan=False) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
