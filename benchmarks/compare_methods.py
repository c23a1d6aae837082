"""Compare methods on one study of `benchmarks/studies`, with the data of a folder.

Example: python benchmarks/compare_methods.py sunnybrook DATA/sunnybrook_lv runs/sunnybrook
The table of the whole page: python benchmarks/write_results.py runs/sunnybrook runs/…
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from crisp_core.schema.study import SiteEntry, Study
from crisp_server.compare import Contest, compare
from crisp_server.settings import load_study
from crisp_server.simulate import SimulationOptions

STUDIES = Path(__file__).with_name("studies")
METHODS = "fedavg,fedavg-2.5d,crisp-paper,crisp"


def located(study: Study, data: Path) -> Study:
    """Give every site of a study its folder below `data`."""
    sites = {
        name: SiteEntry(role=site.role, data=(str((data / name).resolve()),))
        for name, site in study.sites.items()
    }
    return study.model_copy(update={"sites": sites})


def main() -> None:
    """Run every method and seed that is not finished yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=sorted(path.stem for path in STUDIES.glob("*.toml")))
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--threads", type=int, default=0)
    wanted = parser.parse_args()
    study = located(load_study(STUDIES / f"{wanted.study}.toml"), wanted.data)
    options = SimulationOptions(
        threads=wanted.threads, cache=wanted.run / "cache", command=shlex.join(sys.argv)
    )
    seeds = tuple(int(seed) for seed in wanted.seeds.split(","))
    contest = Contest(tuple(wanted.methods.split(",")), seeds)
    for name, seed, summary in compare(study, contest, wanted.run, options):
        print(f"{name}, seed {seed}: {summary.seconds:.0f} s")


if __name__ == "__main__":
    main()
