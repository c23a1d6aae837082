"""How far do honest updates of a round agree, and how does one that is turned around look there?

Example: python -m benchmarks.agreement DATA runs/agreement
DATA holds `sunnybrook_lv` and `spinalcord`; the phantom and the rings are made. A federation whose
figures are there already is not run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.compare_methods import STUDIES, located
from benchmarks.federations import small_study
from benchmarks.findings import Findings, Row, publish
from crisp_core.files.phantom_cohort import write_phantom
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.schema.manifest import Progress
from crisp_core.schema.study import Study
from crisp_server.admission import OPPOSED, Change, change, compare, kind, opposition
from crisp_server.compare import variants
from crisp_server.flower import GridSites
from crisp_server.generations import FederationState, run_study
from crisp_server.loho import folds
from crisp_server.settings import load_study
from crisp_server.simulate import SimulationOptions, start
from crisp_server.simulation.inline import InProcessGrid
from crisp_server.steps import round_plan
from crisp_server.store import RunFolder

Figures = Mapping[str, Any]
"""Of a round: each site's `agreement`, and of each of KINDS the longest by the others' median."""
KINDS = ("whole", "square", "matrix", "vector")
EARLY = 2
"""Rounds in which every federation still learns what all sites have in common."""
COHORTS = ("failure_infarct", "failure_no_infarct", "healthy", "hypertrophy")
VENDORS = ("vendor-a", "vendor-d")
CEITEC, CHUM = "ceitec_siemens_prisma_3T", "chum_philips_achieva_3T"
GRID: tuple[tuple[str, str, tuple[str, ...], tuple[int, ...]], ...] = (
    ("Sunnybrook, 3 of 4 cohorts", "fedavg", COHORTS, (1, 2, 3)),
    ("Sunnybrook, 3 of 4 cohorts", "crisp", COHORTS, (1,)),
    ("spinal cord, 5 of 6 hospitals", "fedavg", (CEITEC,), (1, 2, 3)),
    ("spinal cord, 5 of 6 hospitals", "fedavg", (CHUM,), (1,)),
    ("cardiac phantom, 3 of 4 vendors", "fedavg", VENDORS, (1, 2, 3)),
    ("cardiac phantom, 3 of 4 vendors", "crisp", VENDORS, (1,)),
    ("rings of the tests, 3 sites", "crisp", ("south",), (1, 2, 3)),
)
"""Federations: data, method, who is held out in turn, seeds."""
NOTES = (
    "Small networks of width 8, GroupNorm (crisp) or BatchNorm (fedavg), 16 to 48 pixels; "
    "6 rounds of about 20 steps, the rings 20 rounds of 4 steps.\n"
    "Opposition is the others' mean cosine or minus the site's own with them, whichever is less; "
    "every matrix of a change counts alike.\n"
    "The rule sees the opposition or the site's agreement in the round before, whichever is less, "
    f"and refuses above {OPPOSED:g}.\n"
    "Turned: the same round with this one update turned around, the site honest until then.\n"
    "Longest: a change, one square or other matrix or one vector of it by the others' median; "
    "the limits are 10, 4, 10 and 30."
).splitlines()


class Watched(RunFolder):
    """A run whose updates are looked at before they are forgotten."""

    def clear_spool(self) -> None:
        """Write down the figures of the round whose updates these are."""
        saved = self.load()
        sent = saved[0] if saved else {}
        sites = sorted(path.stem for path in (self.path / "spool").iterdir())
        line = json.dumps(figures_of(sites, lambda site: change(self.spooled(site), sent)))
        with (self.path / "figures.jsonl").open("a") as file:
            file.write(line + "\n")
        super().clear_spool()


def figures_of(sites: Sequence[str], change_of: Callable[[str], Change]) -> dict[str, Any]:
    """Compare the changes of a round; nobody is refused for a direction."""
    compared = compare(sites, change_of, dict.fromkeys(sites, -1.0))
    lengths = {site: _lengths(change_of(site)) for site in sites}
    found: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for site, own in lengths.items():
        for part, (judged, length) in own.items():
            usual = median(lengths[other][part][1] for other in sites if other != site)
            found[judged] = max(found[judged], length / usual if usual else 0.0)
    return {"agreement": compared.agreement, "refused": compared.refused, **found}


def _lengths(own: Change) -> dict[str, tuple[str, float]]:
    parts = {name: (kind(array), float(np.linalg.norm(array))) for name, array in own}
    return {"": ("whole", float(np.hypot.reduce([part[1] for part in parts.values()]))), **parts}


def studies(data: Path, made: Path) -> dict[str, Study]:
    """Return the study of each of the data sets; every site of it is a source or takes its turn."""
    quick: dict[str, Any] = {
        "federation": {"admission": "finite"},
        "evaluation": {"select": "last"},
    }
    phantom = located(load_study(STUDIES / "cardiac-phantom.toml"), made / "phantom")
    small = {
        "images": {"size": [48, 48]},
        "model": {"width": 8},
        "training": {"steps": 150, "batch_size": 8, "learning_rate": 0.003},
        "crisp": {"perturbations": 4},
    }
    folders = {"Sunnybrook": "sunnybrook_lv", "spinal": "spinalcord"}
    real = {
        word: _changed(
            located(load_study(STUDIES / f"loho-{folder[:10]}.toml"), data / folder), quick
        )
        for word, folder in folders.items()
    }
    return {
        **real,
        "cardiac": _changed(phantom, quick | small, role="source"),
        "rings": _rings(made),
    }


def _rings(made: Path) -> Study:
    tables = small_study(
        training={"steps": 80, "batch_size": 12, "augmentation": "none"},
        federation={"rounds": 20, "admission": "finite"},
        crisp={"phase_shares": [1]},
    )
    return located(Study.model_validate_json(json.dumps(tables)), made / "rings")


def _changed(study: Study, sections: Mapping[str, Any], role: str = "") -> Study:
    raw = study.model_dump(mode="json")
    for name, section in sections.items():
        raw[name] |= section
    for site in raw["sites"].values():
        site["role"] = role or site["role"]
    return Study.model_validate_json(json.dumps(raw))


def write_data(made: Path) -> None:
    """Make the phantom's vendors and the rings, unless they are there."""
    from synthetic import write_site  # type: ignore[import-not-found]  # noqa: PLC0415

    if not (made / "phantom").exists():
        write_phantom("cardiac", made / "phantom", seed=1, patients=4)
    for number, site in enumerate(("east", "north", "south", "west")):
        if not (made / "rings" / site).exists():
            names = {f"{site}-{patient}": f"{site}-p{patient}" for patient in range(3)}
            write_site(made / "rings" / site, names, shape=(20, 20, 4), seed=number)


def federation_of(study: Study, method: str, held_out: str, seed: int) -> Study:
    """Hold one site out, unless the study does so itself."""
    whole = study if held_out in study.held_out else folds(study)[held_out]
    (_, _, variant), *_ = variants(whole, [method], [seed])
    return variant


def watched(study: Study, folder: Path) -> list[Figures]:
    """Run every round of a study, once, and return the figures of each."""
    kept = folder.with_suffix(".jsonl")
    if not kept.exists():
        shutil.rmtree(folder, ignore_errors=True)
        run = Watched(start(study, folder, SimulationOptions(threads=1)).path)
        state = FederationState(to_arrays(segmenter_of(study)), Progress())
        run.save(state.parameters, state.progress)
        sites = GridSites(InProcessGrid(len(study.sites), run.path), run)
        for _, after in run_study(study, state, sites, run):
            run.save(after.parameters, after.progress)
            if len(after.progress.rounds) == len(round_plan(study)):
                break
        (run.path / "figures.jsonl").replace(kept)
        shutil.rmtree(folder)
    return [json.loads(line) for line in kept.read_text().splitlines()]


def shown(rounds: Sequence[Figures]) -> Iterator[tuple[int, float, float, float]]:
    """Yield of each update its round, opposition and what the rule sees of it; last, of minus it.

    The rule sees the opposition or the site's agreement in the round before, whichever is less.
    """
    before: Mapping[str, float] = {}
    for number, figures in enumerate(rounds, start=1):
        agreement = figures["agreement"]
        for site, opposed in opposition(agreement).items():
            own, stood = agreement[site], before.get(site, 1.0)
            others = (sum(agreement.values()) - 2 * own) / (len(agreement) - 2)
            yield number, opposed, min(opposed, stood), min(others, own, stood)
        before = agreement


def row_of(name: str, federations: Sequence[Sequence[Figures]]) -> Row:
    """Sum up the federations of one line of the table."""
    seen = [one for rounds in federations for one in shown(rounds)]
    early = [turned for number, _, _, turned in seen if number <= EARLY]
    later = [turned for number, _, _, turned in seen if number > EARLY]
    every = [figures for rounds in federations for figures in rounds]
    return {
        "federations": f"{name}: {len(federations)}",
        "updates": len(seen),
        "most opposed": max(one[1] for one in seen),
        "most the rule sees": max(one[2] for one in seen),
        "refused": sum(one[2] > OPPOSED for one in seen) + sum(bool(f["refused"]) for f in every),
        f"turned in rounds 1-{EARLY}, refused": _share(early),
        "the least the rule sees of them": min(early),
        "turned later, refused": _share(later),
        **{f"longest {part}": max(f[part] for f in every) for part in KINDS},
    }


def _share(turned: Sequence[float]) -> str:
    return f"{sum(one > OPPOSED for one in turned)} of {len(turned)}"


def main() -> None:
    """Run what is not there yet and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    wanted = parser.parse_args()
    write_data(wanted.runs)
    known, rows = studies(wanted.data, wanted.runs), dict[str, list[list[Figures]]]()
    for name, method, held_out, seeds in GRID:
        word = name.split()[0].rstrip(",")
        for site, seed in ((site, seed) for seed in seeds for site in held_out):
            study = federation_of(known[word], method, site, seed)
            figures = watched(study, wanted.runs / f"{word}-{method}-{site}-seed{seed}")
            rows.setdefault(f"{name}, {method}", []).append(figures)
    publish(
        Findings(
            name="agreement",
            title="Honest updates beside one another, and each of them turned around",
            rows=[row_of(name, federations) for name, federations in rows.items()],
            notes=NOTES,
        )
    )


if __name__ == "__main__":
    main()
