"""What a site says about its images and its machine in figures, and what the coordinator concludes.

Nothing here is an image, a name or a path: medians, means and counts over a site's cases.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field

from crisp_core.schema.frozen import Frozen

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Triple = tuple[float, float, float]
Lengths = tuple[Positive, Positive, Positive]
OTHER = "other"
UNLIKE = 3.0
"""Factor between a case's spacing and its site's median from which it is counted and named."""
Orientation = Annotated[str, Field(pattern=r"^([RLAPSI]{3}|other)$")]


class StructureProfile(Frozen):
    """What one structure looks like at a site; means over the cases that have it."""

    patients: Annotated[int, Field(ge=1)]
    """Patients in whom it is labelled."""
    volume_ml: Positive
    """Median."""
    background_share: Share
    """Share of its surface that touches background."""
    offset: Triple
    """Of its centroid from the foreground's along D, H, W, in root-mean-square radii."""
    intensity: tuple[float, ...]
    """Its mean in each channel, where percentile 1 of the image is -1 and percentile 99 is 1."""


class DataProfile(Frozen):
    """What a site's volumes look like on their native grid; D, H, W are the house's axes."""

    orientations: dict[Orientation, int]
    """How the files store their axes (such as `LPS`) -> cases."""
    shape: Lengths
    """Median length in voxels along D, H, W."""
    spacing_mm: Lengths
    """Median along D (the slice thickness), H, W."""
    unlike_spacings: Annotated[int, Field(ge=0)]
    """Cases whose voxels are `UNLIKE` times longer or shorter than that along some axis."""
    percentiles: tuple[Triple, ...]
    """For each channel the median over cases of the percentiles 1, 50 and 99, raw."""
    whole_numbers: bool
    """Whether every image holds integers only."""
    spread_mm: Triple | None
    """Root-mean-square distance of the foreground from its centroid; median over cases."""
    structures: dict[str, StructureProfile]

    def without_small_cells(self, min_cohort: int) -> DataProfile:
        """Leave out what describes fewer patients than `min_cohort`."""
        orientations: Counter[str] = Counter()
        for code, count in self.orientations.items():
            orientations[code if count >= min_cohort else OTHER] += count
        structures = {n: s for n, s in self.structures.items() if s.patients >= min_cohort}
        return self.model_copy(
            update={"orientations": dict(orientations), "structures": structures}
        )


class Machine(Frozen):
    """What a site computes with."""

    cpu_count: int
    gpu_memory_bytes: int
    """0 without a GPU."""
    free_disk_bytes: int
    """Where the site writes."""
    clock_s: float
    """Seconds since 1970 by the site's own clock, when it had looked at its data."""


Level = Literal["ok", "warning", "error"]


class VerdictLine(Frozen):
    """One thing that holds for a site's data beside the others'."""

    site: str
    level: Level
    what: Annotated[str, Field(pattern=r"^[a-z]+$")]
    """One word: `labels`, `axes`, `spacing`, …; with the site it names the line."""
    sentence: str
    fix: str = ""

    @property
    def name(self) -> str:
        """What `federation.accept_verdict` calls this line."""
        return f"{self.site}:{self.what}"
