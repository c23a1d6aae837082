"""What coordinator and hospital say to each other: plans out, figures back.

Every reply carries counts and figures; no image, no mask, no file name. Cases and patients appear
as pseudonyms that the site alone can resolve.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from crisp_core.schema.description import DataProfile, Machine
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.own import OwnKey
from crisp_core.schema.policy import Policy
from crisp_core.schema.reliability import Reliability
from crisp_core.schema.risk import RiskEvidence, RiskRule

Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
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
    own: OwnKey = ""


class HintPlan(Frozen):
    """Make the hints that `generation` trains with; the weights are M(generation - 1)."""

    generation: int
    models: tuple[str, ...]
    """Content hashes of M(1) … M(generation - 1)."""
    own: OwnKey = ""


class EvaluatePlan(Frozen):
    """Measure the weights that come along with `recursions` passes."""

    purpose: Literal["validation", "final"]
    generation: int
    recursions: int
    own: OwnKey = ""
    risk: RiskRule | None = None
    """In the final measurement: by this rule the site's own page judges its answers."""


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
    hd95_union_mm: NotNegative | None = None
    """95th percentile of both directed sets joined, as medpy."""
    hd95_max_mm: NotNegative | None = None
    """Larger of the two directed percentiles, as MONAI."""
    assd_mm: NotNegative | None = None
    """Average symmetric surface distance."""
    surface_dice: Fraction | None = None
    """Share of both surfaces within `evaluation.tolerance_mm` of the other (NSD)."""
    reference_ml: NotNegative | None = None
    volume_error_ml: float | None = None
    """Predicted - reference."""
    lesions_reference: int | None = None
    lesions_found: int | None = None
    """Of the reference's lesions, those that some predicted one matches."""
    lesions_predicted: int | None = None
    lesions_false: int | None = None
    """Of the predicted lesions, those that match none of the reference."""
    auc: Fraction | None = None
    """Chance that a voxel of the structure has larger log-odds than another one of the region of
    interest."""
    positive_probability: Fraction | None = None
    """Mean probability over the reference."""
    dice_by_third: tuple[Fraction, Fraction, Fraction] | None = None
    """Dice in the lower, middle and upper third of the reference's slices."""

    @property
    def missed(self) -> bool:
        """Exactly one of reference and prediction is empty."""
        return (self.reference_voxels == 0) != (self.predicted_voxels == 0)


class TaxonomyFigures(Frozen):
    """In which ways one structure of one answer is wrong."""

    under_segmented: bool
    """Less than 70 % of the reference was found."""
    leakage_ml: NotNegative
    """False positive volume within 10 mm of the reference."""
    distant_ml: NotNegative
    """Volume of the predicted components that have no reference within 10 mm."""
    distant_components: int
    offset_mm: tuple[float, float, float] | None
    """Centroid of the prediction less that of the reference along D, H, W; absent if one is
    empty."""


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
    mean_entropy: NotNegative | None = None
    """Predictive entropy in nats, mean over the region of interest."""
    mutual_information: NotNegative | None = None
    """What the perturbations disagree about, in nats, mean over the region of interest."""
    brier: Annotated[float, Field(ge=0, le=2)] | None = None


class CaseFigures(Frozen):
    """One case, all recursions; `chosen` is the 1-based recursion that the guard answers with."""

    case: str
    patient: str
    group: str = ""
    recursions: tuple[RecursionFigures, ...]
    chosen: int
    evidence: RiskEvidence | None = None
    strata: dict[Word, Word] = Field(default_factory=dict)
    """What kind of case it is: `size`, `phase`, `vendor`, … -> one word."""
    artefact: float | None = None
    """How disturbed the image is, without a clean one to compare with; more is worse."""
    errors: dict[str, TaxonomyFigures] = Field(default_factory=dict)
    """By structure, of the answer."""

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
    reliability: Reliability | None = None
    """Of the answers to all cases together."""


ESSENTIAL: Final = tuple(
    name for name, field in StructureFigures.model_fields.items() if field.is_required()
)
"""Metrics that a study cannot do without: a policy that keeps one keeps its site out."""
OPTIONAL: Final = tuple(
    name
    for kind in (StructureFigures, RecursionFigures, CaseFigures, Evaluation)
    for name, field in kind.model_fields.items()
    if not field.is_required() and name != "group"
)
"""Metrics that a policy may keep: the answer then leaves without them."""
METRICS: Final = (*ESSENTIAL, *OPTIONAL)
"""Every name that a policy's `metrics` may hold."""


class SiteFault(Frozen):
    """An error as it may leave a hospital: a code and a sentence without names or paths."""

    code: str
    sentence: str
