"""How the coordinator speaks to the hospitals: one protocol, any transport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from crisp_core.arrays import Parameters
from crisp_core.errors import SiteFailedError
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import SiteFault

Action = Literal["describe", "train", "hints", "evaluate"]


@dataclass(frozen=True)
class SiteReply:
    """What one site answered: figures (JSON), perhaps parameters, or a fault."""

    site: str
    figures: str = ""
    parameters: Parameters | None = None
    fault: SiteFault | None = None


class Sites(Protocol):
    """Whoever can train: hospitals behind Flower, or three arrays in a test."""

    def ask(
        self, action: Action, plans: Mapping[str, Frozen | None], parameters: Parameters | None
    ) -> Iterator[SiteReply]:
        """Send each named site its plan and yield the replies as they arrive.

        A site that does not answer in time yields nothing.
        """
        ...


def replies_of_all(
    sites: Sites,
    action: Action,
    plans: Mapping[str, Frozen | None],
    parameters: Parameters | None,
) -> dict[str, str]:
    """Ask every site and insist that each answers; site -> figures (JSON), in the order of `plans`.

    Raises:
        SiteFailedError: If a site answers with a fault or not at all: a figure that is missing at
            one hospital must never be averaged away.
    """
    figures: dict[str, str] = {}
    for reply in sites.ask(action, plans, parameters):
        if reply.fault is not None:
            raise _failed(action, reply.site, f"{reply.fault.code}: {reply.fault.sentence}")
        figures[reply.site] = reply.figures
    for site in plans:
        if site not in figures:
            raise _failed(action, site, "no answer in time")
    return {site: figures[site] for site in plans}


def _failed(action: Action, site: str, got: str) -> SiteFailedError:
    return SiteFailedError(
        expected=f"an answer to {action!r}",
        got=got.rstrip("."),
        where=f"site {site!r}",
        fix="Mend it at the site, then `crisp resume`",
    )
