"""A whole federation of a few small cases on disk, in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthetic import write_site

from crisp_core.schema.methods import with_preset
from crisp_core.schema.study import Study
from crisp_server.simulate import SimulationOptions

SITES = {"east": "source", "north": "source", "south": "held-out"}


def tiny_study(folder: Path, **sections: Any) -> Study:
    """Two sources and one held-out site, two classes, two generations, seconds of training."""
    data = {site: folder / "data" / site for site in SITES}
    for number, (site, place) in enumerate(data.items()):
        if not place.exists():
            names = {f"{site}-{patient}": f"{site}-p{patient}" for patient in range(3)}
            write_site(place, names, shape=(20, 20, 4), seed=number)
    raw = {
        "name": "tiny",
        "seed": 3,
        "classes": ["ring", "inner"],
        "sites": {site: {"role": role, "data": str(data[site])} for site, role in SITES.items()},
        "model": {"width": 8},
        "images": {"size": [16, 16]},
        "training": {"steps": 12, "batch_size": 4},
        "crisp": {"generations": 2, "perturbations": 3},
        "federation": {"rounds": 2},
        "evaluation": {"validation_share": 0.4, "bootstrap_samples": 100},
    }
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section} if isinstance(section, dict) else section
    return Study.model_validate_json(json.dumps(with_preset(raw)))


def tiny_options(**keys: Any) -> SimulationOptions:
    return SimulationOptions(device="cpu", threads=1, command="test", **keys)
