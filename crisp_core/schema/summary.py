"""What a finished run says: the source of the report and of every table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from crisp_core.schema.description import VerdictLine
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import Evaluation, HintFigures, SiteDescription, TrainFigures
from crisp_core.schema.risk import RiskRule
from crisp_core.schema.study import Study


class RoundSummary(Frozen):
    """One round: who trained, how it went, who was missing and why."""

    generation: int
    round_number: int
    trained: dict[str, TrainFigures]
    missing: dict[str, str]
    """Site -> reason, for each source whose update did not count."""
    late: dict[str, int] = Field(default_factory=dict)
    """Site -> rounds between the one whose model it trained and this one, where it counts."""
    agreement: dict[str, float] = Field(default_factory=dict)
    """Site -> mean cosine of its change with those of the others that counted, where compared."""
    sent: str = ""
    """Content hash of the model that the sites were sent, where they keep something made of it."""


def degraded(rounds: Sequence[RoundSummary]) -> str:
    """Say in one sentence who was missing, when and why; empty if every round was whole.

    Examples:
        >>> gone = {"generation": 1, "trained": {}, "missing": {"north": "no answer"}}
        >>> degraded([RoundSummary(round_number=number, **gone) for number in (2, 3, 5)])
        'DEGRADED: north missing in rounds 2-3, 5 (no answer)'
    """
    gaps: dict[tuple[str, str], list[int]] = {}
    for summary in rounds:
        for site, reason in summary.missing.items():
            gaps.setdefault((site, reason.rstrip(".")), []).append(summary.round_number)
    parts = [
        f"{site} missing in {named_rounds(numbers)} ({reason})"
        for (site, reason), numbers in gaps.items()
    ]
    return f"DEGRADED: {'; '.join(parts)}" if parts else ""


def named_rounds(numbers: Sequence[int]) -> str:
    """Write rising numbers as `round 3` or `rounds 2-4, 7`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    text = ", ".join("-".join(map(str, span)) for span in spans)
    return f"round{'s' if len(numbers) > 1 else ''} {text}"


class GenerationSummary(Frozen):
    """One generation: hints made before it, validation measured after it."""

    generation: int
    hints: dict[str, HintFigures]
    validation: dict[str, Evaluation]
    model_hash: str


class Panel(Frozen):
    """Pictures of one case, made at the site and never sent: base64 PNG per view.

    The views are image, reference, prediction, core, support, uncertain, entropy, errors, in this
    order; older files lack the last two.
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
    verdict: tuple[VerdictLine, ...] = ()
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
    risk: RiskRule | None = None
    """Fitted on the selected generation's validation; absent where no source sent evidence."""

    @property
    def degraded(self) -> str:
        """Who was missing, when and why; empty if every round was whole."""
        return degraded(self.rounds)

    @property
    def pass_count(self) -> int:
        """Passes of the selected model: M(k) looks k times, without hints once."""
        return min(self.selected_generation, self.study.recursions)
