"""Several images of one place: copies are dropped, phases told apart, anything else refused."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from crisp_core.files.dicom.frames import Frame, Instance
from crisp_core.files.dicom.opening import place_of
from crisp_core.files.dicom.refusal import refused, unreadable
from crisp_core.files.dicom.stacking import SAME_PLACE_MM

PHASE_WORDS = ("trigger time", "temporal position")
"""By what the phases of a beating heart, or the times of a dynamic series, are told apart."""


def without_copies(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Drop files that hold the same object byte for byte under another name.

    Raises:
        DataError: If two files claim to be one object and differ.
    """
    kept: dict[str, Instance] = {}
    for instance in instances:
        first = kept.setdefault(instance.sop_uid, instance)
        if first is not instance and _digest(first) != _digest(instance):
            got = f"two that differ, {first.path.name!r} and {instance.path.name!r}"
            where = f"object {instance.sop_uid}"
            raise refused(where, "one file an object", got, "Take the wrong one out")
    return tuple(kept.values())


def split_phases(frames: Sequence[Frame], where: str) -> tuple[tuple[Frame, ...], ...]:
    """Split frames into phases: the first has the earliest image of every place, and so on.

    A heart's trigger times differ a little from place to place, so phases are counted, not
    matched by their time.

    Args:
        frames: Of one series.
        where: For the sentence of an error.

    Returns:
        At least one phase, each with one frame of every place.

    Raises:
        DataError: If images of one place cannot be told apart by time, or some place has more of
            them than another.
    """
    places = _by_place(frames)
    counts = sorted({len(group) for group in places.values()})
    if counts == [1]:
        return (tuple(frames),)
    word = _telling(places.values(), where)
    if len(counts) > 1:
        got = f"{counts[0]} at one place and {counts[-1]} at another"
        fix = "Fetch the series again, whole, or export the phases as series"
        raise refused(where, "as many phases at every place", got, fix)
    ordered = [sorted(group, key=lambda frame: frame.moments[word]) for group in places.values()]
    return tuple(zip(*ordered, strict=True))


def _by_place(frames: Sequence[Frame]) -> Mapping[tuple[int, ...], list[Frame]]:
    """Group frames whose first pixels lie in one place and that look the same way."""
    places = defaultdict[tuple[int, ...], list[Frame]](list)
    for frame in frames:
        plane = frame.plane
        corner = np.rint(np.array(plane.position_mm) / (10 * SAME_PLACE_MM)).astype(int)
        turn = np.rint(np.array(plane.directions) * 100).astype(int)
        places[(*corner.tolist(), *turn.tolist())].append(frame)
    return places


def _telling(groups: Iterable[Sequence[Frame]], where: str) -> str:
    """Return the word whose values differ between all images of each place."""
    several = [group for group in groups if len(group) > 1]
    for word in PHASE_WORDS:
        if all(_distinct(group, word) for group in several):
            return word
    differing = sorted(
        {word for group in several for word in group[0].moments if _distinct(group, word)}
    )
    by = f" that differ in {', '.join(differing)}" if differing else ""
    got = f"{max(map(len, several))} at one place{by}"
    fix = "Take copies out; export contrasts and echoes as series of their own"
    raise refused(where, "one image a position, or phases with times", got, fix)


def _distinct(group: Sequence[Frame], word: str) -> bool:
    values = {frame.moments.get(word) for frame in group}
    return None not in values and len(values) == len(group)


def _digest(instance: Instance) -> str:
    try:
        return hashlib.sha256(instance.path.read_bytes()).hexdigest()
    except OSError as error:
        raise unreadable(place_of(instance.path), error) from None
