"""Rules about labels and axes: what a site calls by which number, and which way its volumes lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crisp_core.numerics.matching import UPRIGHT, Look, best_reading
from crisp_core.schema.description import DataProfile, VerdictLine
from crisp_core.schema.study import Study
from crisp_server.verdict.votes import Descriptions, Outvoted, Profiles, outvoted

AXES = ("slices", "rows", "columns")
LEAST_MM = 1e-3


def absent_classes(study: Study, descriptions: Descriptions) -> Iterator[VerdictLine]:
    """Name every site where a class of the study is not labelled, or lost on the study's grid."""
    for number, structure in enumerate(study.classes, start=1):
        for site, description in sorted(descriptions.items()):
            if not study.sealed(site) and description.class_voxels.get(structure, 0) == 0:
                lost = description.data is not None and structure in description.data.structures
                grid = " on the study's grid" if lost else ""
                fix = (
                    "Choose a finer grid in [images], or one that reaches further"
                    if lost
                    else "Number its labels in the order of the study's classes"
                )
                yield VerdictLine(
                    site=site,
                    level="error",
                    what="classes",
                    sentence=f"not one voxel has label {number}, {structure!r}{grid}",
                    fix=fix,
                )


def readings(study: Study, profiles: Profiles) -> Iterator[VerdictLine]:
    """Find sites whose labels are exchanged or whose axes are turned."""
    labelled = {site: p for site, p in profiles.items() if p.spread_mm is not None}
    read = {
        (a, b): _read(study.classes, labelled[a], labelled[b])
        for a in labelled
        for b in labelled
        if a != b
    }
    for one in outvoted(labelled, lambda a, b: bool(read[a, b].moves)):
        found = Counter(read[one.site, other].moves for other in one.against)
        yield _exchanged(study, one, found.most_common(1)[0][0])
    for one in outvoted(labelled, lambda a, b: read[a, b].axes != UPRIGHT):
        turns = Counter(read[one.site, other].axes for other in one.against)
        yield _turned(one, turns.most_common(1)[0][0])


@dataclass(frozen=True)
class _Read:
    """How one site is to be read to be another: structures under other names, axes."""

    moves: tuple[tuple[str, str], ...]
    axes: tuple[int, ...]


def _read(classes: Sequence[str], one: DataProfile, other: DataProfile) -> _Read:
    """Compare the structures that both sites tell of."""
    names = [name for name in classes if name in one.structures and name in other.structures]
    if not names:
        return _Read((), UPRIGHT)
    figures = [site.structures[name].intensity for site in (one, other) for name in names]
    channels = min(map(len, figures))
    reading = best_reading(_look(one, names, channels), _look(other, names, channels))
    meant = [names[place] for place in reading.order]
    moves = tuple((name, to) for name, to in zip(names, meant, strict=True) if name != to)
    return _Read(moves, reading.axes)


def _look(profile: DataProfile, names: Sequence[str], channels: int) -> Look:
    structures = [profile.structures[name] for name in names]
    return Look(
        patients=np.array([float(s.patients) for s in structures]),
        volume=np.log([s.volume_ml for s in structures]),
        share=np.array([s.background_share for s in structures]),
        offset=np.array([s.offset for s in structures]),
        intensity=np.array([s.intensity[:channels] for s in structures]),
        spread=np.log(np.maximum(profile.spread_mm or (0, 0, 0), LEAST_MM)),
    )


def _exchanged(study: Study, one: Outvoted, found: Sequence[tuple[str, str]]) -> VerdictLine:
    number = {name: place for place, name in enumerate(study.classes, start=1)}
    seen = ", ".join(f"{name!r} looks like {to!r}" for name, to in found)
    numbers = ", ".join(f"{number[name]} to {number[to]}" for name, to in found)
    return VerdictLine(
        site=one.site,
        level="error",
        what="labels",
        sentence=f"{seen} of {one.others}",
        fix=f"Look at one case; if so, change the labels of every mask there: {numbers}",
    )


def _turned(one: Outvoted, axes: Sequence[int]) -> VerdictLine:
    parts = [
        f"its {AXES[abs(axis) - 1]} are their {theirs}{' reversed' if axis < 0 else ''}"
        for axis, theirs in zip(axes, AXES, strict=True)
        if AXES[abs(axis) - 1] != theirs or axis < 0
    ]
    return VerdictLine(
        site=one.site,
        level="error",
        what="axes",
        sentence=f"volumes look turned against {one.others}: {', '.join(parts)}",
        fix="Look at one case; if so, export images and masks again with the scanner's affine",
    )
