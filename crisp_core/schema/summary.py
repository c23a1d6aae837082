"""What a finished run says: the source of the report and of every table."""

from __future__ import annotations

from typing import Literal

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import Evaluation, HintFigures, SiteDescription, TrainFigures
from crisp_core.schema.study import Study


class RoundSummary(Frozen):
    """One round: who trained, how it went, who was missing and why."""

    generation: int
    round_number: int
    trained: dict[str, TrainFigures]
    missing: dict[str, str]
    """Site -> reason, for each source whose update did not count."""


class GenerationSummary(Frozen):
    """One generation: hints made before it, validation measured after it."""

    generation: int
    hints: dict[str, HintFigures]
    validation: dict[str, Evaluation]
    model_hash: str


class Panel(Frozen):
    """Pictures of one case, made at the site and never sent: base64 PNG per view.

    The views are image, reference, prediction, core, support, uncertain, in this order.
    """

    site: str
    case: str
    place: Literal["best", "median", "worst"]
    dice: float
    views: dict[str, str]


class RunSummary(Frozen):
    """A run from its study to its held-out figures."""

    study: Study
    study_hash: str
    engine: str
    versions: dict[str, str]
    sites: dict[str, SiteDescription]
    rounds: tuple[RoundSummary, ...]
    generations: tuple[GenerationSummary, ...]
    selected_generation: int
    converged_at: int | None
    final: dict[str, Evaluation]
    """Every site, sources and held-out, measured once with the selected model."""
    model_hash: str
    started: str
    finished: str
    seconds: float
    site_seconds: float
    """The part of `seconds` that the sites spent computing."""
    commands: tuple[str, ...]
    warnings: tuple[str, ...]
    ledger: tuple[dict[str, str | int | float | None], ...] = ()

    @property
    def pass_count(self) -> int:
        """Passes of the selected model: M(k) looks k times, without hints once."""
        return min(self.selected_generation, self.study.recursions)
