"""Pictures of the worst, median and best case: they stay in the site's own folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from crisp_client.cases import SiteCases
from crisp_core.files.atomic import write_text
from crisp_core.schema.summary import Panel


@dataclass(frozen=True)
class CaseViews:
    """One case's pictures (base64 PNG by view) and the Dice that ranks them."""

    case: str
    dice: float
    views: dict[str, str]


def keep_panels(site: SiteCases, cases: Sequence[CaseViews]) -> None:
    """Write `panels.json` with the worst, median and best of `cases`."""
    ranked = sorted(cases, key=lambda views: (views.dice, views.case))
    places = {"worst": 0, "median": len(ranked) // 2, "best": len(ranked) - 1}
    panels = [
        Panel.model_validate(
            {
                "site": site.settings.site,
                "case": ranked[place].case,
                "place": name,
                "dice": ranked[place].dice,
                "views": ranked[place].views,
            }
        )
        for name, place in places.items()
    ]
    site.work.mkdir(parents=True, exist_ok=True)
    text = json.dumps([panel.model_dump() for panel in panels])
    write_text(site.work / "panels.json", text)
