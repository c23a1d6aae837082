"""What a run has done so far: the one value that decides what comes next."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from crisp_core.schema.description import VerdictLine
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import Evaluation, HintFigures, SiteDescription
from crisp_core.schema.places import AlsoPlace, ConditionText, LayoutName, Place, places_of
from crisp_core.schema.summary import RoundSummary, degraded


class Progress(Frozen):
    """Every step that is finished, in figures; saved with the model after each of them."""

    sites: dict[str, SiteDescription] = Field(default_factory=dict)
    verdict: tuple[VerdictLine, ...] = ()
    """What the sites' data look like beside one another."""
    hints: tuple[dict[str, HintFigures], ...] = ()
    """One entry per generation begun after the first, in order: generations 2, 3, …"""
    rounds: tuple[RoundSummary, ...] = ()
    validations: tuple[dict[str, Evaluation], ...] = ()
    """One entry per finished generation."""
    generation_models: tuple[str, ...] = ()
    """Content hash of M(1), M(2), …"""
    aggregation_memory: str = ""
    """Content hash of what the aggregation rule keeps between rounds; empty for most rules."""
    personal_norms: tuple[str, ...] = ()
    """Content hash of the sources' own normalisations after generation 1, 2, …, where a held-out
    site will need each of them."""
    converged_at: int | None = None
    final: dict[str, Evaluation] = Field(default_factory=dict)
    site_seconds: float = 0.0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def degraded(self) -> str:
        """Who was missing, when and why; empty if every round so far was whole."""
        return degraded(self.rounds)


class SavedState(Frozen):
    """What `state.json` holds: progress and the content hash of the model that goes with it."""

    study_hash: str
    model: str
    progress: Progress
    ledger_length: int


class RunFacts(Frozen):
    """What is known when a run starts: its engine, its versions, its command."""

    engine: str
    started: str
    versions: dict[str, str]
    commands: tuple[str, ...]
    home: str = ""
    """The coordinator's folder, where hospitals are real; empty in a simulation."""


DEVICE = re.compile(r"^(auto|cpu|cuda(:\d{1,3})?)$")


class SiteSettings(Frozen):
    """A site's own settings (`site.toml`): where its images are and where it may write."""

    site: str
    data: tuple[str, ...]
    layout: LayoutName = "house"
    """How the files lie in `data`."""
    select: tuple[ConditionText, ...] = ()
    """Which cases count: every condition must hold."""
    also: tuple[AlsoPlace, ...] = ()
    """More places: folder, layout and conditions."""
    work: str
    device: Annotated[str, Field(pattern=DEVICE)] = "auto"
    threads: int = 0
    """CPU threads; 0 means every core."""
    pseudonym_key: str
    """Secret of the site: only with it can a case's pseudonym be resolved."""
    cache: str = ""
    """Folder of prepared slices; empty means `cache` inside `work`."""
    coordinator: str = ""
    """`host:port` of the coordinator; empty in a simulation."""
    unreadable_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the cases that may be unreadable: they are left out and counted. Above it, the site
    refuses to take part."""
    follow_links: bool = False
    """Whether links in the data folders may point out of them."""
    resident: bool = True
    """Whether the daemon keeps one process that has everything loaded and does the work."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Every folder of this site with its layout and conditions."""
        return places_of(self.data, self.layout, self.select, self.also)
