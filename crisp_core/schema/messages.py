"""What coordinator and hospital say to each other: plans out, figures back.

Every reply carries counts and figures; no image, no mask, no file name. Cases and patients appear
as pseudonyms that the site alone can resolve.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crisp_core.schema.description import DataProfile, Machine
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.policy import Policy

Fraction = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(max_length=64)]
Split = Literal["train", "validation", "test", "all"]
PRESENT = 1
"""Instead of a voxel count that too few patients stand behind: it is there."""


class TrainPlan(Frozen):
    """Train these steps of this generation from the weights that come along."""

    generation: int
    round_number: int
    first_step: int
    steps: int
    models: tuple[str, ...]
    """Content hashes of M(1) … M(generation - 1), which made the hints to train with."""


class HintPlan(Frozen):
    """Make the hints that `generation` trains with; the weights are M(generation - 1)."""

    generation: int
    models: tuple[str, ...]
    """Content hashes of M(1) … M(generation - 1)."""


class EvaluatePlan(Frozen):
    """Measure the weights that come along with `recursions` passes."""

    purpose: Literal["validation", "final"]
    generation: int
    recursions: int


class SiteDescription(Frozen):
    """What a site has, in counts and in figures over all its cases."""

    site: str
    role: Literal["source", "held-out"]
    train_cases: int
    validation_cases: int
    test_cases: int
    patients: int
    train_slices: int
    class_voxels: dict[str, int]
    spacing_mm_median: tuple[float, float, float]
    software: dict[Word, Word]
    device: Word
    metrics: tuple[Word, ...] | None = None
    """Metrics that the site's policy lets out; absent: every metric."""
    unreadable_cases: int = 0
    """Cases that could not be used and were left out; like the next two, a count of files."""
    empty_masks: int = 0
    duplicate_cases: int = 0
    """Cases whose image is, voxel by voxel, that of another case."""
    data: DataProfile | None = None
    machine: Machine | None = None

    def under(self, policy: Policy) -> SiteDescription:
        """Return what `policy` lets out: no figure over fewer patients than it asks for."""
        few = policy.min_cohort
        data = self.data.without_small_cells(few) if self.data and self.patients >= few else None
        common = set(data.structures) if data else set()
        return self.model_copy(
            update={
                "metrics": policy.metrics,
                "data": data,
                "class_voxels": {
                    name: count if name in common else min(count, PRESENT)
                    for name, count in self.class_voxels.items()
                },
            }
        )


class TrainFigures(Frozen):
    """How a site's round went."""

    case_count: Annotated[int, Field(ge=1)]
    steps: int
    loss_first: float
    loss_last: float
    squeeze_last: float
    noise_ratio: float | None
    """sigma / std(F): how strong the perturbation was for this network."""
    seconds: float


class HintFigures(Frozen):
    """What a site's new hints look like against its own training reference."""

    case_count: int
    core_precision: Fraction | None
    core_recall: Fraction | None
    support_precision: Fraction | None
    support_recall: Fraction | None
    support_coverage: Fraction
    uncertain: Fraction
    changed: Fraction | None
    """Share of hint values (bits, or grades) that differ from the generation before."""
    pixels_changed: Fraction | None
    """Share of predicted labels that differ from the generation before."""
    seconds: float


class StructureFigures(Frozen):
    """One structure of one case after one recursion, on the native grid."""

    dice: Fraction
    hd95_mm: Annotated[float, Field(ge=0)]
    hd95_voxels: Annotated[float, Field(ge=0)]
    sensitivity: Fraction | None
    precision: Fraction | None
    volume_error: float | None
    """(predicted - reference) / reference; absent without a reference."""
    reference_voxels: int
    predicted_voxels: int
    core_precision: Fraction | None
    core_recall: Fraction | None
    support_precision: Fraction | None
    support_recall: Fraction | None

    @property
    def missed(self) -> bool:
        """Exactly one of reference and prediction is empty."""
        return (self.reference_voxels == 0) != (self.predicted_voxels == 0)


METRICS = tuple(StructureFigures.model_fields)
"""Every name that a policy's `metrics` may hold."""


class RecursionFigures(Frozen):
    """One case after recursion g."""

    structures: dict[str, StructureFigures]
    uncertain: Fraction
    """Share of voxels that are in some support and not in its core."""
    support_coverage: Fraction
    changed: Fraction | None
    """Share of voxels whose label differs from the recursion before."""
    entropy: float
    """The guard's figure u_g."""


class CaseFigures(Frozen):
    """One case, all recursions; `chosen` is the 1-based recursion that the guard answers with."""

    case: str
    patient: str
    group: str = ""
    recursions: tuple[RecursionFigures, ...]
    chosen: int

    @property
    def answer(self) -> RecursionFigures:
        """The recursion that is the result."""
        return self.recursions[self.chosen - 1]


class Evaluation(Frozen):
    """A site's answer to an EvaluatePlan."""

    site: str
    split: Split
    cases: tuple[CaseFigures, ...]
    seconds: float


class SiteFault(Frozen):
    """An error as it may leave a hospital: a code and a sentence without names or paths."""

    code: str
    sentence: str
