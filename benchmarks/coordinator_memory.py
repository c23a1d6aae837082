"""Weigh a round of few and of many sites: `python -m benchmarks.coordinator_memory`.

With a number of sites as its argument it runs one round and prints how many MB it took.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.findings import Findings, in_fresh_process, memory_growth_mb, publish
from crisp_core.arrays import Parameters
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.manifest import RunFacts
from crisp_core.schema.messages import TrainFigures
from crisp_core.schema.record import Action
from crisp_core.schema.study import SiteEntry, Study
from crisp_server.rounds import train_round
from crisp_server.sites import SiteReply
from crisp_server.steps import round_plan
from crisp_server.store import RunFolder

SITE_COUNTS = (4, 32)
LAYER_COUNT = 20
LAYER_SIZE = 250_000
UPDATE_MB = LAYER_COUNT * LAYER_SIZE * 4 / 1e6
TARGET = 1.05
NOTES = (
    "One round of the real coordinator, a fresh process for each number of sites.",
    "At most one update is in memory, with its copies on the way to disk and the float64 sum.",
)
FIGURES = TrainFigures(
    case_count=1,
    steps=1,
    loss_first=1.0,
    loss_last=1.0,
    squeeze_last=0.0,
    noise_ratio=None,
    seconds=0.0,
).model_dump_json()


def model(seed: int) -> Parameters:
    """Draw float32 layers of `UPDATE_MB` in all."""
    rng = np.random.default_rng(seed)
    return {
        f"layer-{number}": rng.standard_normal(LAYER_SIZE, dtype=np.float32)
        for number in range(LAYER_COUNT)
    }


class GeneratedSites:
    """Hospitals that answer one after the other, each with an update made on the spot."""

    def ask(
        self, action: Action, plans: Mapping[str, Frozen | None], parameters: Parameters | None
    ) -> Iterator[SiteReply]:
        """Yield one update a site."""
        del action, parameters
        for seed, site in enumerate(plans):
            yield SiteReply(site, FIGURES, model(seed))


def one_round(site_count: int, folder: Path) -> float:
    """Average one round of `site_count` sites; return the MB that it took."""
    names = [f"site-{number:02d}" for number in range(site_count)]
    study = Study(
        name="memory", classes=("one",), sites={name: SiteEntry(role="source") for name in names}
    )
    facts = RunFacts(engine="inline", started="", versions={}, commands=())
    run = RunFolder.create(folder / "run", study, facts)
    start, step = model(0), round_plan(study)[0]
    return memory_growth_mb(lambda: train_round(study, step, start, (), GeneratedSites(), run))


def main() -> None:
    """Compare rounds of few and of many sites, each in a process of its own."""
    if sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            print(one_round(int(sys.argv[1]), Path(folder)))
        return
    growth_mb = {count: in_fresh_process("coordinator_memory", count) for count in SITE_COUNTS}
    least = growth_mb[SITE_COUNTS[0]]
    rows = [
        {
            "sites": count,
            "update in MB": UPDATE_MB,
            "peak above the start, MB": mb,
            f"of that with {SITE_COUNTS[0]} sites": mb / least,
            "wanted at most": TARGET,
        }
        for count, mb in growth_mb.items()
    ]
    publish(Findings("coordinator_memory", "Memory of the coordinator by sites", rows, NOTES))


if __name__ == "__main__":
    main()
