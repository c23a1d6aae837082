"""Who is at fault among sites that disagree.

A site is outvoted where it disagrees with more sites than it agrees with. Where one stands against
one, or the sites fall into halves, nobody can tell who is right and all of them are named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from crisp_core.schema.description import DataProfile
from crisp_core.schema.messages import SiteDescription

Descriptions = Mapping[str, SiteDescription]
Profiles = Mapping[str, DataProfile]


@dataclass(frozen=True)
class Outvoted:
    """A site and those it disagrees with."""

    site: str
    against: tuple[str, ...]
    unclear: bool
    """One of those is outvoted as well: there is no majority."""

    @property
    def others(self) -> str:
        """Name those it disagrees with."""
        return ", ".join(self.against) + self.doubt

    @property
    def doubt(self) -> str:
        """Say so where nobody can tell who is right."""
        return " (nobody can tell which of them is right)" if self.unclear else ""


def outvoted(sites: Collection[str], differ: Callable[[str, str], bool]) -> tuple[Outvoted, ...]:
    """Return each site that differs from more sites than it agrees with.

    Examples:
        >>> length = {"east": 2, "north": 2, "west": 9}
        >>> [one.site for one in outvoted(length, lambda a, b: length[a] != length[b])]
        ['west']
    """
    against = {one: tuple(o for o in sites if o != one and differ(one, o)) for one in sites}
    found = {one: others for one, others in against.items() if 2 * len(others) > len(sites) - 1}
    return tuple(
        Outvoted(one, others, unclear=any(other in found for other in others))
        for one, others in found.items()
    )
