"""Image frames of single-frame and enhanced multi-frame objects, as one kind of value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crisp_core.files.dicom.opening import syntax_of
from crisp_core.files.dicom.refusal import refused
from crisp_core.files.dicom.stacking import Plane
from crisp_core.files.dicom.values import Attributes

SINGLE = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
}
ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
}
IMAGES = {**SINGLE, **ENHANCED}
"""Storage classes of the images that are read; 2.2 and 4.4 are the legacy-converted ones."""
MOST_FRAMES = 20_000
MOST_PIXELS = 1 << 24
"""In one frame: 4096 x 4096."""
LARGEST_MM = 1e5
LARGEST_VALUE = 1e9
"""Of a slope or an intercept."""


@dataclass(frozen=True)
class Frame:
    """One slice: where its pixels are stored, where it lies and how its values are scaled.

    Attributes:
        path: Its file.
        number: Its place in that file, from 0.
        sop_uid: Of the object in that file.
        plane: Where it lies.
        slope: Stored value times this, plus `intercept`, is the value.
        intercept: In the image's own units.
        syntax: UID of the transfer syntax that its pixels are stored in.
        moments: What distinguishes images of one place, such as "trigger time": 292.2.
    """

    path: Path
    number: int
    sop_uid: str
    plane: Plane
    slope: float
    intercept: float
    syntax: str
    moments: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Instance:
    """One image file: its object's name and its frames."""

    path: Path
    sop_uid: str
    frames: tuple[Frame, ...]


def read_instance(path: Path, attributes: Attributes) -> Instance:
    """Find the frames of an image.

    Args:
        path: Its file.
        attributes: Its header.

    Raises:
        DataError: If an attribute that places or scales a frame is absent or malformed.
    """
    sop_class = attributes.uid("SOPClassUID")
    sop_uid = attributes.uid("SOPInstanceUID")
    _check_pixels(attributes)
    if sop_class in ENHANCED:
        frames = tuple(
            _frame((path, number, sop_uid), attributes, part, ENHANCED[sop_class])
            for number, part in enumerate(functional_groups(attributes))
        )
    else:
        _check_single(attributes)
        frames = (_frame((path, 0, sop_uid), attributes, lambda _: attributes, IMAGES[sop_class]),)
    return Instance(path, sop_uid, frames)


def _check_single(attributes: Attributes) -> None:
    count = attributes.whole("NumberOfFrames") if attributes.has("NumberOfFrames") else 1
    if count != 1:
        raise refused(attributes.where, "one frame in a single-frame image", str(count))


def _check_pixels(attributes: Attributes) -> None:
    """Refuse what is no grey image, and sizes that would only fill the memory."""
    rows, columns = attributes.whole("Rows"), attributes.whole("Columns")
    if rows < 1 or columns < 1 or rows * columns > MOST_PIXELS:
        wanted = f"1 to {MOST_PIXELS} pixels in a frame"
        raise refused(attributes.where, wanted, f"{rows} x {columns}")
    samples = attributes.whole("SamplesPerPixel")
    kind = attributes.text("PhotometricInterpretation").strip()
    if samples != 1 or kind != "MONOCHROME2":
        fix = "Take colour and inverted pictures (secondary captures, screenshots) out"
        got = f"{samples} sample, {kind or 'no photometric interpretation'}"
        raise refused(attributes.where, "grey images, MONOCHROME2", got, fix)


def functional_groups(
    attributes: Attributes, most: int = MOST_FRAMES
) -> tuple[Callable[[str], Attributes], ...]:
    """Return a function a frame that finds its functional group of a name.

    Raises:
        DataError: If there is not one item a frame, or more than `most`.
    """
    count = attributes.whole("NumberOfFrames")
    own = attributes.items("PerFrameFunctionalGroupsSequence")
    shared = (*attributes.items("SharedFunctionalGroupsSequence"), None)[0]
    if not 1 <= count <= most or len(own) != count:
        wanted = f"one item a frame, 1 to {most} frames"
        raise refused(attributes.where, wanted, f"{len(own)} items for {count} frames")

    def part_of(group: Attributes) -> Callable[[str], Attributes]:
        return lambda name: _part(name, group, shared)

    return tuple(part_of(group) for group in own)


def _part(name: str, group: Attributes, shared: Attributes | None) -> Attributes:
    """Return a functional group of a frame, its own before the one that all frames share."""
    for place in (group, shared):
        found = place.items(name) if place is not None else ()
        if found:
            return found[0]
    return Attributes(type(group.dataset)(), f"{name}, {group.where}")


def _frame(
    key: tuple[Path, int, str],
    attributes: Attributes,
    part: Callable[[str], Attributes],
    modality: str,
) -> Frame:
    path, number, sop_uid = key
    scale = part("PixelValueTransformationSequence")
    slope, intercept = _scale(scale, modality)
    return Frame(
        path=path,
        number=number,
        sop_uid=sop_uid,
        plane=_plane(attributes, part),
        slope=slope,
        intercept=intercept,
        syntax=syntax_of(attributes),
        moments=_moments(part),
    )


def _plane(attributes: Attributes, part: Callable[[str], Attributes]) -> Plane:
    measures = part("PixelMeasuresSequence")
    position = part("PlanePositionSequence").numbers("ImagePositionPatient", 3)
    if max(map(abs, position)) > LARGEST_MM:
        wanted = f"ImagePositionPatient within {LARGEST_MM:g} mm"
        raise refused(attributes.where, wanted, f"{max(position, key=abs):g}")
    between = measures.optional("SpacingBetweenSlices")
    return Plane(
        position_mm=position,
        directions=part("PlaneOrientationSequence").numbers("ImageOrientationPatient", 6),
        spacing_mm=measures.positive("PixelSpacing", 2),
        shape=(attributes.whole("Rows"), attributes.whole("Columns")),
        thickness_mm=measures.optional("SliceThickness") or (abs(between) if between else None),
    )


def _scale(scale: Attributes, modality: str) -> tuple[float, float]:
    """Return slope and intercept; CT must state both, MR both or neither."""
    if "ModalityLUTSequence" in scale.dataset:
        raise refused(scale.where, "a slope and an intercept", "a modality table")
    stated = [name for name in ("RescaleSlope", "RescaleIntercept") if scale.has(name)]
    if not stated and modality != "CT":
        return 1.0, 0.0
    slope, intercept = scale.number("RescaleSlope"), scale.number("RescaleIntercept")
    if slope == 0 or max(abs(slope), abs(intercept)) > LARGEST_VALUE:
        got = f"{slope:g} and {intercept:g}"
        raise refused(scale.where, "a slope other than 0 and an intercept in bounds", got)
    return slope, intercept


def _moments(part: Callable[[str], Attributes]) -> dict[str, float]:
    """Find what tells images of one place apart; what is absent is left out."""
    found = {
        "trigger time": _first(
            part("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime", "TriggerTime"
        ),
        "temporal position": _first(
            part("FrameContentSequence"), "TemporalPositionIndex", "TemporalPositionIdentifier"
        ),
        "echo time": _first(part("MREchoSequence"), "EffectiveEchoTime", "EchoTime"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _first(group: Attributes, *keywords: str) -> float | None:
    return next((group.number(keyword) for keyword in keywords if group.has(keyword)), None)
