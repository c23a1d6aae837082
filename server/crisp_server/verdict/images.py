"""Rules about what volumes measure: spacing, slice thickness, volumes, intensities, orientation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from crisp_core.schema.description import UNLIKE, DataProfile, Level, Triple, VerdictLine
from crisp_core.schema.study import Study
from crisp_server.verdict.votes import Outvoted, Profiles, outvoted

SPACINGS = ("slices", "rows", "columns")
NOTICEABLE = (2.0, 2.0, 2.0)
"""Factor between two sites' spacings along D, H, W from which a reader is told."""
TOO_FAR = (5.0, 3.0, 3.0)
"""Factor that stops a study; slices may differ more than rows and columns."""
EXCHANGED = 3.0
"""Factor by which a volume is longer along one axis, and shorter along another, than it can be."""
VOLUMES = 5.0
FEWEST = 3
"""Patients behind a volume that may stop a study."""
BRIGHTER = 20.0
"""Factor between two sites' ranges of intensity."""
SHIFTED = 0.5
"""Distance between two sites' darkest values, in ranges of intensity."""


def spacings(profiles: Profiles) -> Iterator[VerdictLine]:
    """Find sites whose voxels or slices are much larger or smaller, at most one line each."""
    told: set[str] = set()
    levels: tuple[tuple[Level, Triple], ...] = (("error", TOO_FAR), ("warning", NOTICEABLE))
    for level, limits in levels:
        for axis, limit in enumerate(limits):
            figures = {site: profile.spacing_mm[axis] for site, profile in profiles.items()}
            for one in outvoted(figures, partial(_apart, figures, limit)):
                if one.site not in told:
                    told.add(one.site)
                    yield _spacing(one, axis, figures, level)
    for site in sorted(set(profiles) - told):
        yield from _mixed(site, profiles[site])


def lengths(profiles: Profiles) -> Iterator[VerdictLine]:
    """Find sites whose volumes are far longer along one axis and far shorter along another."""
    sizes = {
        site: tuple(n * mm for n, mm in zip(p.shape, p.spacing_mm, strict=True))
        for site, p in profiles.items()
    }
    for one in outvoted(sizes, partial(_other_shape, sizes)):
        theirs = ", ".join(f"{_size(sizes[other])} at {other}" for other in one.against)
        yield VerdictLine(
            site=one.site,
            level="error",
            what="axes",
            sentence=f"volumes measure {_size(sizes[one.site])}; {theirs}{one.doubt}",
            fix="Axes are exchanged: export images and masks again with the scanner's affine",
        )


def volumes(study: Study, profiles: Profiles) -> Iterator[VerdictLine]:
    """Find sites where a structure is far too large or small; an error if every one of them is."""
    found: dict[str, list[str]] = defaultdict(list)
    patients = {site: _fewest(profile) for site, profile in profiles.items()}
    for name in study.classes:
        figures = {
            site: profile.structures[name].volume_ml
            for site, profile in profiles.items()
            if name in profile.structures
        }
        for one in outvoted(figures, partial(_apart, figures, VOLUMES)):
            said = f"{name!r} has {figures[one.site]:.3g} ml; {_figures(one, figures, 'ml')}"
            found[one.site].append(said)
    for site, sentences in found.items():
        sure = len(sentences) == len(study.classes) and min(patients.values()) >= FEWEST
        yield VerdictLine(
            site=site,
            level="error" if sure else "warning",
            what="volume",
            sentence="; ".join(sentences),
            fix="Look at labels and spacing of one case there",
        )


def intensities(profiles: Profiles) -> Iterator[VerdictLine]:
    """Find sites whose images are on another scale; training does not depend on it."""
    for channel in range(min((len(p.percentiles) for p in profiles.values()), default=0)):
        ends = {site: profile.percentiles[channel] for site, profile in profiles.items()}
        for one in outvoted(ends, partial(_other_scale, ends)):
            low, _, high = ends[one.site]
            theirs = ", ".join(f"{ends[o][0]:.4g} to {ends[o][2]:.4g} at {o}" for o in one.against)
            yield VerdictLine(
                site=one.site,
                level="warning",
                what="intensity",
                sentence=f"channel {channel} runs from {low:.4g} to {high:.4g}; {theirs}",
                fix="Make sure that it is the same kind of image with its slope and intercept",
            )


def orientations(profiles: Profiles) -> Iterator[VerdictLine]:
    """Say how files are stored where that differs: every volume is turned when it is read."""
    if len({tuple(profile.orientations) for profile in profiles.values()}) > 1:
        for site, profile in profiles.items():
            sentence = f"stored as {', '.join(profile.orientations)}; read in one orientation"
            yield VerdictLine(site=site, level="ok", what="orientation", sentence=sentence)


def _fewest(profile: DataProfile) -> int:
    return min((structure.patients for structure in profile.structures.values()), default=0)


def _apart(figures: Mapping[str, float], limit: float, one: str, other: str) -> bool:
    return max(figures[one], figures[other]) > limit * min(figures[one], figures[other])


def _spacing(one: Outvoted, axis: int, figures: Mapping[str, float], level: Level) -> VerdictLine:
    return VerdictLine(
        site=one.site,
        level=level,
        what="spacing",
        sentence=f"{SPACINGS[axis]} are {figures[one.site]:.3g} mm apart; "
        f"{_figures(one, figures, 'mm')}",
        fix="Compare with the scanner; a wrong one is corrected as spacing_mm in cases.csv",
    )


def _other_shape(sizes: Mapping[str, tuple[float, ...]], one: str, other: str) -> bool:
    factors = [a / b for a, b in zip(sizes[one], sizes[other], strict=True)]
    return max(factors) > EXCHANGED and min(factors) < 1 / EXCHANGED


def _size(lengths_mm: Sequence[float]) -> str:
    return " x ".join(f"{mm:.0f}" for mm in lengths_mm) + " mm"


def _figures(one: Outvoted, figures: Mapping[str, float], unit: str) -> str:
    theirs = ", ".join(f"{figures[other]:.3g} {unit} at {other}" for other in one.against)
    return theirs + one.doubt


def _mixed(site: str, profile: DataProfile) -> Iterator[VerdictLine]:
    if profile.unlike_spacings:
        yield VerdictLine(
            site=site,
            level="warning",
            what="spacing",
            sentence=f"its own cases differ: in {profile.unlike_spacings} voxels are more than "
            f"{UNLIKE:g} times as long or as short as its median",
            fix="Look at the cases far out with `crisp-client check`",
        )


def _other_scale(ends: Mapping[str, Triple], one: str, other: str) -> bool:
    (low, _, high), (other_low, _, other_high) = ends[one], ends[other]
    widths = high - low, other_high - other_low
    wider, narrower = max(widths), min(widths)
    return wider > BRIGHTER * narrower or abs(low - other_low) > SHIFTED * wider
