from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from site_samples import east

from crisp_client.cases import open_cases
from crisp_client.pictures import CaseSlice, keep_panels


def drawn(name: str, dice: float) -> CaseSlice:
    plane, mask = np.zeros((8, 8)), np.zeros((1, 8, 8), bool)
    labels = np.zeros((8, 8), np.int64)
    return CaseSlice(name, dice, plane, labels, labels, mask, mask, plane)


@pytest.mark.parametrize(
    ("dices", "shown"),
    [
        ({"a": 0.9, "b": 0.2, "c": 0.5}, [("worst", "b"), ("median", "c"), ("best", "a")]),
        ({"a": 0.9, "b": 0.2}, [("worst", "b"), ("best", "a")]),
        ({"a": 0.9}, [("worst", "a")]),
    ],
)
def test_each_case_is_drawn_once(
    tmp_path: Path, dices: dict[str, float], shown: list[tuple[str, str]]
) -> None:
    site = open_cases(*east(tmp_path))
    site.work.mkdir(parents=True, exist_ok=True)

    keep_panels(site, [drawn(name, dice) for name, dice in dices.items()])

    panels = json.loads((site.work / "panels.json").read_text())
    assert {(panel["place"], panel["case"]) for panel in panels} == set(shown)
