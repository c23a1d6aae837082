"""The paper's protocol as studies: single source, unseen targets, an upper bound.

Values are the paper's: 60,000 steps, Adam at 1e-3, N = 10, sigma = 0.35, L = 5, squeeze weight
0.5; batch 10 at 256 x 256 for the heart, 35 at 512 x 512 for CT. Every method gets the same steps,
augmentation, loss and normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Site = Mapping[str, Any]
FOLDS = 5
METHODS: Mapping[str, Mapping[str, Any]] = {
    "baseline": {"method": "fedavg"},
    "recursive": {"method": "crisp-paper", "crisp": {"squeeze_weight": 0.0}},
    "full": {"method": "crisp-paper"},
}
"""Single-source columns of the ablation: plain, with recursion, with squeezing too."""
UPPER = "upper"
HOSPITALS = {
    "A": ("vendor=A",),
    "B2": ("vendor=B", "site=B2"),
    "B3": ("vendor=B", "site=B3"),
    "C": ("vendor=C",),
    "D": ("vendor=D",),
}
"""The five hospitals of the second preset: vendor B has two."""


@dataclass(frozen=True)
class Scale:
    """What a machine can do: None is the paper's own value."""

    steps: int | None = None
    size: int | None = None
    architecture: str = "DeepLabV3Plus"
    batch_size: int | None = None

    def changes(self) -> tuple[str, ...]:
        """Say what differs from the paper."""
        said = {
            "steps": self.steps,
            "size": self.size,
            "batch_size": self.batch_size,
            "architecture": None if self.architecture == "DeepLabV3Plus" else self.architecture,
        }
        return tuple(f"{key} = {value}" for key, value in said.items() if value is not None)


@dataclass(frozen=True)
class Shift:
    """One scenario of the paper: where it trains and where it is tested.

    Attributes:
        scenario: Names its studies.
        data: Folder of the data set.
        layout: Of that folder.
        classes: Of the study.
        source: Name and conditions of the one source.
        targets: Name and conditions of every unseen target.
        size: Pixels a side, as in the paper.
        batch_size: As in the paper.
    """

    scenario: str
    data: Path
    layout: str
    classes: tuple[str, ...]
    source: tuple[str, tuple[str, ...]]
    targets: Mapping[str, tuple[str, ...]]
    size: int
    batch_size: int


def heart(data: Path) -> Shift:
    """Scenario 1: vendor A of M&Ms to B, C and D."""
    targets = {vendor: (f"vendor={vendor}",) for vendor in "BCD"}
    source = ("A", ("vendor=A",))
    return Shift("mnms", data, "mnms", ("LV", "MYO", "RV"), source, targets, 256, 10)


def vessels(scenario: str, data: Path, source: tuple[str, str], target: tuple[str, str]) -> Shift:
    """Scenario 2 or 3: lung vessels in CT, from one cohort to another."""
    own, other = ((name, (text,)) for name, text in (source, target))
    return Shift(scenario, data, "auto", ("vessel",), own, dict([other]), 512, 35)


def single_source(shift: Shift, methods: Sequence[str], scale: Scale) -> Iterator[dict[str, Any]]:
    """Yield the study of each method: one source with a fifth held back, every target unseen."""
    name, select = shift.source
    for method in methods:
        sites = {
            name: _site(shift, "source", (*select, f"fold!=1/{FOLDS}")),
            f"{name}-test": _site(shift, "held-out", (*select, f"fold=1/{FOLDS}")),
            **{t: _site(shift, "held-out", conditions) for t, conditions in shift.targets.items()},
        }
        yield _study(shift, f"{shift.scenario}-{method}", METHODS[method], sites, scale)


def upper_bound(shift: Shift, scale: Scale) -> Iterator[dict[str, Any]]:
    """Yield five studies a target: trained on source and target, tested on the fold left out."""
    for target, conditions in shift.targets.items():
        for fold in range(1, FOLDS + 1):
            rest = (*conditions, f"fold!={fold}/{FOLDS}")
            joint = _site(shift, "source", shift.source[1])
            joint = {**joint, "also": [[str(shift.data), shift.layout, list(rest)]]}
            sites = {
                "joint": joint,
                target: _site(shift, "held-out", (*conditions, f"fold={fold}/{FOLDS}")),
            }
            name = f"{shift.scenario}-{UPPER}-{target}-fold{fold}"
            yield _study(shift, name, METHODS["baseline"], sites, scale)


def one_hospital_out(
    data: Path, methods: Sequence[str], scale: Scale, rounds: int
) -> Iterator[dict[str, Any]]:
    """Yield the second preset: A, B2, B3, C and D federate, each in turn is left out."""
    shift = heart(data)
    for method in methods:
        for out in HOSPITALS:
            sites = {
                name: _site(shift, "held-out" if name == out else "source", conditions)
                for name, conditions in HOSPITALS.items()
            }
            study = _study(shift, f"mnms-loho-{method}-{out}", METHODS[method], sites, scale)
            study["federation"] = {"rounds": rounds}
            study["evaluation"] = {"validation_share": 0.1, "select": "worst-site"}
            yield study


def _site(shift: Shift, role: str, select: Sequence[str]) -> dict[str, Any]:
    return {"role": role, "data": str(shift.data), "layout": shift.layout, "select": list(select)}


def _study(
    shift: Shift, name: str, method: Mapping[str, Any], sites: Mapping[str, Site], scale: Scale
) -> dict[str, Any]:
    size = scale.size or shift.size
    return {
        "name": name,
        "seed": 1,
        "classes": list(shift.classes),
        "method": method["method"],
        "sites": dict(sites),
        "model": {"architecture": scale.architecture, "norm": "network"},
        "images": {"size": [size, size], "fit": "resize", "percentiles": [1.0, 99.0]},
        "training": {
            "steps": scale.steps or 60_000,
            "batch_size": scale.batch_size or shift.batch_size,
            "learning_rate": 0.001,
            "loss": "dice",
        },
        "crisp": {
            "generations": 3,
            "phase_shares": [1.0, 1.0, 1.0],
            "perturbations": 10,
            "sigma": 0.35,
            "levels": 5,
            **({"squeeze_weight": 0.5} if method["method"] != "fedavg" else {}),
            **method.get("crisp", {}),
        },
        "federation": {"rounds": 1},
        "evaluation": {"validation_share": 0.125, "select": "last"},
    }
