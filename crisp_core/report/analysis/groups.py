"""The sites one by one and, after them, those of a role together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crisp_core.schema.messages import CaseFigures, Evaluation
from crisp_core.schema.summary import RunSummary

TOGETHER = {"held-out": "all held-out", "source": "all sources"}


@dataclass(frozen=True)
class Group:
    """One site, or the sites of one role."""

    name: str
    role: str
    evaluations: tuple[Evaluation, ...]

    @property
    def cases(self) -> tuple[CaseFigures, ...]:
        """Every case of the group."""
        return tuple(case for evaluation in self.evaluations for case in evaluation.cases)

    @property
    def members(self) -> tuple[tuple[str, CaseFigures], ...]:
        """Every case of the group with its site: a pseudonym says who it is at one site only."""
        return tuple((each.site, case) for each in self.evaluations for case in each.cases)

    @property
    def single(self) -> bool:
        """It is one site."""
        return self.name not in TOGETHER.values()


def groups(summary: RunSummary, sites: Sequence[str]) -> Iterator[Group]:
    """Yield each of `sites`, then the sites of a role together where there are several."""
    roles = {site: summary.study.sites[site].role for site in sites}
    for site, role in roles.items():
        yield Group(site, role, (summary.final[site],))
    yield from together(summary, sites)


def together(summary: RunSummary, sites: Sequence[str]) -> Iterator[Group]:
    """Yield the sites of a role together where there are several."""
    for role, name in TOGETHER.items():
        own = [site for site in sites if summary.study.sites[site].role == role]
        if len(own) > 1:
            yield Group(name, role, tuple(summary.final[site] for site in own))
