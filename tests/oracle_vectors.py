"""The shared vectors of METHOD.md §8, written by float64 loops outside this project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "vectors"
GRADED = tuple(sorted(p.stem for p in FOLDER.glob("*.npz") if p.stem != "squeeze_grad"))
DTYPES = (torch.float32, torch.float64)


def vector(name: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def rule(values: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    return {
        "levels": int(values["L"]),
        "range_over": str(values["range_over"]),
        "instance": str(values["instance"]),
        "log_odds_clip": float(values["s_clip"]) or None,
    }
