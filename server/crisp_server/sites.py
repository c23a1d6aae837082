"""How the coordinator speaks to the hospitals: one protocol, any transport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pydantic import ValidationError

from crisp_core.arrays import Parameters
from crisp_core.errors import SiteFailedError
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import SiteFault
from crisp_core.schema.record import Action

Figures = TypeVar("Figures", bound=Frozen)


@dataclass(frozen=True)
class SiteReply:
    """What one site answered: figures (JSON), perhaps parameters, or a fault."""

    site: str
    figures: str = ""
    parameters: Parameters | None = None
    fault: SiteFault | None = None
    staleness: int = 0
    """Rounds between the one it was asked in and this one."""


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
    kind: type[Figures],
) -> dict[str, Figures]:
    """Ask every site and insist that each answers; site -> figures, in the order of `plans`.

    Raises:
        SiteFailedError: If a site answers with a fault, with something else or not at all: a
            figure that is missing at one hospital must never be averaged away.
    """
    figures: dict[str, Figures] = {}
    for reply in sites.ask(action, plans, parameters):
        if reply.fault is not None:
            raise _failed(action, reply.site, f"{reply.fault.code}: {reply.fault.sentence}")
        try:
            figures[reply.site] = kind.model_validate_json(reply.figures)
        except ValidationError:
            raise _failed(action, reply.site, "figures that cannot be read") from None
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
