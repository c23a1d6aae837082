"""Pictures of the worst, median and best case: they stay in the site's own folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from crisp_client.cases import SiteCases
from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.files.atomic import write_text
from crisp_core.report.pictures import panel_views
from crisp_core.schema.summary import Panel


@dataclass(frozen=True)
class CaseSlice:
    """One case's slice with the largest reference, and the Dice of the case.

    Attributes:
        case: Pseudonym.
        dice: Mean over the structures of the whole case.
        image: (H, W).
        reference: Labels (H, W).
        prediction: Labels (H, W).
        core: (C, H, W).
        support: (C, H, W).
        entropy: (H, W), nats.
    """

    case: str
    dice: float
    image: FloatArray
    reference: IntArray
    prediction: IntArray
    core: BoolArray
    support: BoolArray
    entropy: FloatArray


def keep_panels(site: SiteCases, slices: Sequence[CaseSlice]) -> None:
    """Draw the worst, median and best of `slices` into `panels.json`, each case once."""
    ranked = sorted(slices, key=lambda one: (one.dice, one.case))
    places = {len(ranked) // 2: "median", len(ranked) - 1: "best", 0: "worst"}
    panels = [_panel(site, ranked[place], name) for place, name in places.items()]
    text = json.dumps([panel.model_dump() for panel in panels])
    write_text(site.work / "panels.json", text)


def _panel(site: SiteCases, one: CaseSlice, place: str) -> Panel:
    masks = (one.reference, one.prediction, one.core, one.support)
    views = panel_views(one.image, *masks, entropy=one.entropy)
    return Panel.model_validate(
        {
            "site": site.settings.site,
            "case": one.case,
            "place": place,
            "dice": one.dice,
            "views": views,
        }
    )
