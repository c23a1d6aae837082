"""What a model's training data looked like, and what has moved since."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from crisp_core.schema.frozen import Frozen

Count = Annotated[int, Field(ge=1)]
Hits = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Level = Annotated[float, Field(gt=0, lt=1)]
FeatureName = Annotated[str, Field(max_length=80)]
Judged = Literal["ks", "psi", "ewma", "beyond", "rate"]
AWAY = 0.05
"""A spacing that differs by more than this share is another one."""
TINY = 1e-6
"""An entropy below this is as good as none."""


def on_scale(feature: str, value: float) -> float:
    """Return a figure on the scale on which cases are nearly normally distributed.

    The logarithm of an entropy, the cube root of a volume, anything else as it is.

    Examples:
        >>> round(on_scale("volume:LV", 27.0), 6)
        3.0
    """
    if feature == "entropy":
        return math.log(value + TINY)
    return math.cbrt(value) if feature.startswith("volume:") else value


def _rise(values: tuple[float, ...]) -> bool:
    return all(one < other for one, other in pairwise(values))


class SampleReference(Frozen):
    """Many cases of one figure, as deciles with at least five cases between any two."""

    count: Count
    mean: float
    """`on_scale`."""
    sd: Positive
    """`on_scale`."""
    levels: Annotated[tuple[Level, ...], Field(min_length=1)]
    quantiles: Annotated[tuple[float, ...], Field(min_length=1)]
    """In the figure's own unit; as many as levels, and they rise."""

    @model_validator(mode="after")
    def _rules(self) -> SampleReference:
        if len(self.levels) != len(self.quantiles) or not all(
            map(_rise, (self.levels, self.quantiles))
        ):
            message = "levels and quantiles must rise, one quantile for each level"
            raise ValueError(message)
        return self


class SourceMedian(Frozen):
    """The median of one figure over the cases of one source."""

    cases: Count
    value: float
    unlike: Hits | None = None
    """Cases more than 5 % away from it; None: not known."""


class RateReference(Frozen):
    """How often something was so."""

    hits: Hits
    count: Count


class DriftReference(Frozen):
    """What predictions are compared with.

    Figures are named `entropy`, `volume:LV`, `spacing:z`, `intensity:1:median`. Means and
    deviations are `on_scale`. Intensities and spacings are known to a run as each source's median
    only.
    """

    cases: Hits
    """Behind the samples."""
    samples: dict[FeatureName, SampleReference] = Field(default_factory=dict)
    medians: dict[FeatureName, Annotated[tuple[SourceMedian, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    flagged: RateReference | None = None
    """Cases that the risk rule did not simply accept."""


class Chart(Frozen):
    """The control chart of one figure, `on_scale`."""

    averages: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    first_outside: int | None
    """Place in the window, from 0, of the first average beyond its limit."""


class Finding(Frozen):
    """One figure of the window against the reference."""

    feature: FeatureName
    before: float
    """Median (or rate) of the reference; of the sources' medians the one closest by."""
    now: float
    """Median (or rate) of the window."""
    moved: Hits
    """Cases of the window that lie beyond what the reference is used to."""
    p: dict[Judged, Share]
    """By test; adjusted for all tests of all figures of this comparison."""
    psi: float | None = None
    chart: Chart | None = None
    alarm: bool
    sentence: str


class DriftReport(Frozen):
    """What has moved in a window of predictions."""

    model_hash: str
    reference: Literal["model", "log"]
    reference_cases: int
    cases: int
    first: AwareDatetime
    last: AwareDatetime
    alpha: Positive
    """Chance of any alarm in a comparison in which nothing has moved, at most."""
    findings: tuple[Finding, ...]
    not_compared: dict[FeatureName, str] = Field(default_factory=dict)
    """Figure -> why."""
    notes: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The figures that have moved."""
        return tuple(finding for finding in self.findings if finding.alarm)
