"""What is written beside a prediction: what it answers, with what, and how sure it is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.released import Sha256
from crisp_core.schema.risk import RiskEvidence, RiskFlag
from crisp_core.schema.study import Name

Format = Literal["nifti", "bids", "dicom-seg", "rtstruct", "sr", "png", "pdf"]
LIMITS = "Research result, not for diagnosis: made by a network, checked by nobody yet."


DECISIONS: dict[str, str] = {
    "accept": "Nothing in the answer speaks against it",
    "review": "A person must look at this answer",
    "reject": "Do not use this answer",
}
REASONS: dict[str, str] = {
    "uncertain": "Much of what was found lies outside the core",
    "disagreement": "Core and support are far apart",
    "changed": "The recursions do not agree with one another",
    "entropy": "The probabilities are undecided",
    "no-evidence": "The network says nothing about its own certainty",
}
"""What a flag's codes mean; at most 64 letters each, as DICOM allows."""


class StructureAnswer(Frozen):
    """One structure of one case, as it was found."""

    voxels: int
    volume_ml: Annotated[float, Field(ge=0)]
    core_ml: Annotated[float, Field(ge=0)]
    """Where every perturbation is surest: the part to trust first."""
    support_ml: Annotated[float, Field(ge=0)]
    """Where any perturbation sees a trace: what may belong to it."""


class DicomSource(Frozen):
    """The series that was answered, by its UIDs alone."""

    series_uid: str
    study_uid: str
    phase: int
    instances: int


class AnswerRecord(Frozen):
    """`prediction.json` of one case."""

    case: str
    input_hash: Sha256
    """Of the image's voxels and their places, whatever file they came in."""
    study_hash: Sha256
    model_hash: Sha256
    source: DicomSource | None = None
    """Absent where the image came from NIfTI files."""
    structures: dict[Name, StructureAnswer]
    spacing_mm: tuple[float, float, float]
    """Along slices, rows and columns."""
    windows: int
    """How many windows of the study's size cover a slice; mostly 1."""
    recursions: int
    chosen: int
    """The recursion that is the answer, from 1."""
    changed: float | None = None
    """Share of voxels whose label the last recursion changed; absent with one recursion."""
    entropy: float
    """The guard's figure: nats per predicted foreground pixel."""
    uncertain: float
    """Share of voxels in some support and not in its core."""
    evidence: RiskEvidence | None = None
    flag: RiskFlag | None = None
    """Absent where the model has no rule."""
    largest_component: tuple[Name, ...] = ()
    """Structures of which only the largest connected part was kept."""
    formats: tuple[Format, ...]
    labelmap: bool = False
    """Whether the DICOM segmentation is one map of labels instead of one mask a structure."""
    files: dict[str, Sha256] = Field(default_factory=dict)
    """SHA-256 of each file of this folder."""
    limits: str = LIMITS
    versions: dict[str, str]
    created: str
    seconds: float

    def same_request(self, other: AnswerRecord) -> bool:
        """Tell whether two records answer one question: same image, model and options."""
        return all(getattr(self, name) == getattr(other, name) for name in _REQUEST)


_REQUEST = (
    "case",
    "input_hash",
    "model_hash",
    "source",
    "largest_component",
    "formats",
    "labelmap",
)
