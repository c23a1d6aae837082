"""Pictures of one slice, as PNG: made at a site and shown on a page that the site writes."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crisp_core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from crisp_core.report.palette import (
    HEAT,
    LACKING,
    MISTAKEN,
    REFERENCE,
    RIGHT,
    WRONG,
    structure_colour,
)

Picture = npt.NDArray[np.uint8]
OPACITY = 0.45
SIDE_PX = 256
"""Small slices are enlarged, pixel by pixel, to at least this: outlines stay thin."""


def panel_views(
    image: FloatArray,
    reference: IntArray,
    prediction: IntArray,
    core: BoolArray,
    support: BoolArray,
    entropy: FloatArray | None = None,
) -> dict[str, str]:
    """Draw one slice in the order in which a panel shows it.

    Args:
        image: Grey values (H, W), any range; a constant image is drawn black.
        reference: Labels (H, W), 0 is background and 1..C are the structures.
        prediction: Labels (H, W) like `reference`.
        core: Masks (C, H, W), one a structure.
        support: Masks (C, H, W).
        entropy: Predictive entropy (H, W) in nats, drawn if given.

    Returns:
        View name -> base64 PNG. Every view but the image carries the reference's outline in white.

    Raises:
        ValueError: If the arrays do not share one (H, W).
    """
    given = (image, reference, prediction, core, support)
    shapes = {array.shape[-2:] for array in (*given, *([] if entropy is None else [entropy]))}
    if len(shapes) != 1:
        message = f"image, labels and masks must share one (H, W), got {sorted(shapes)}"
        raise ValueError(message)
    grey, labels = enlarge(grey_values(image)), enlarge(reference)
    pictures = {
        name: overlay(grey, [enlarge(mask) for mask in layers], labels if layers else None)
        for name, layers in _layers(reference, prediction, core, support).items()
    }
    if entropy is not None:
        pictures["entropy"] = outlined(heat(enlarge(entropy), np.log(len(core) + 1)), labels)
    pictures["errors"] = outlined(errors(grey, labels, enlarge(prediction)), labels)
    return {name: base64.b64encode(png(one)).decode() for name, one in pictures.items()}


def _layers(
    reference: IntArray, prediction: IntArray, core: BoolArray, support: BoolArray
) -> dict[str, Sequence[BoolArray]]:
    """Name the masks that each view tints."""
    structures = range(1, len(core) + 1)
    return {
        "image": (),
        "reference": [reference == label for label in structures],
        "prediction": [prediction == label for label in structures],
        "core": list(core),
        "support": list(support),
        "uncertain": list(support & ~core),
    }


def errors(grey: Picture, reference: IntArray, prediction: IntArray) -> Picture:
    """Tint what was found, what is too much, what was missed and what was taken for another.

    Args:
        grey: (H, W).
        reference: Labels (H, W).
        prediction: Labels (H, W).

    Returns:
        (H, W, 3).
    """
    both = (reference > 0) & (prediction > 0)
    kinds = (
        (both & (reference == prediction), RIGHT),
        ((prediction > 0) & (reference == 0), WRONG),
        ((reference > 0) & (prediction == 0), LACKING),
        (both & (reference != prediction), MISTAKEN),
    )
    picture = np.repeat(grey[..., None], 3, axis=-1).astype(np.float64)
    for mask, colour in kinds:
        picture[mask] = (1 - OPACITY) * picture[mask] + OPACITY * np.array(colour)
    return np.rint(picture).astype(np.uint8)


def heat(values: FloatArray, most: float) -> Picture:
    """Draw numbers (H, W) from 0 to `most` as colours (H, W, 3), dark to light."""
    share = np.clip(values / most, 0, 1)
    stops = np.linspace(0, 1, len(HEAT))
    channels = [np.interp(share, stops, [colour[c] for colour in HEAT]) for c in range(3)]
    return np.asarray(np.rint(np.stack(channels, axis=-1)), np.uint8)


def outlined(picture: Picture, labels: IntArray) -> Picture:
    """Draw the outline of `labels` (H, W) into a copy of a picture (H, W, 3)."""
    drawn = picture.copy()
    drawn[outline(labels)] = REFERENCE
    return drawn


def grey_values(image: FloatArray) -> Picture:
    """Stretch an image (H, W) from its 1st to its 99th percentile over 0..255."""
    low, high = np.percentile(image, [1, 99])
    share = (image - low) / (high - low) if high > low else np.zeros(image.shape)
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)


def enlarge(array: AnyArray) -> AnyArray:
    """Repeat pixels (H, W) by a whole factor until the longer side has SIDE_PX."""
    factor = -(-SIDE_PX // max(array.shape))
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay(grey: Picture, masks: Sequence[BoolArray], labels: IntArray | None) -> Picture:
    """Tint a grey picture (H, W) with masks (H, W) and outline `labels`; returns (H, W, 3).

    Where masks overlap, their colours are averaged.
    """
    picture = np.repeat(grey[..., None], 3, axis=-1).astype(np.float64)
    weight = np.sum(masks, axis=0)[..., None] if masks else np.zeros((1, 1, 1))
    tint = np.zeros(picture.shape)
    for index, mask in enumerate(masks):
        tint += mask[..., None] * np.array(structure_colour(index), dtype=np.float64)
    tinted = (1 - OPACITY) * picture + OPACITY * tint / np.maximum(weight, 1)
    picture = np.where(weight > 0, tinted, picture)
    if labels is not None:
        picture[outline(labels)] = REFERENCE
    return np.rint(picture).astype(np.uint8)


def outline(labels: IntArray) -> BoolArray:
    """Return the labelled pixels (H, W) whose right, left, upper or lower neighbour differs."""
    padded = np.pad(labels, 1)
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    differs: BoolArray = np.any([labels != neighbour for neighbour in neighbours], axis=0)
    inner: BoolArray = (labels != 0) & differs
    return inner


def png(picture: Picture) -> bytes:
    """Write a picture (H, W, 3) as PNG, every row unfiltered.

    Source:
        W3C, "Portable Network Graphics (PNG) Specification (Third Edition)".
    """
    height, width = picture.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, colour type RGB
    rows = np.pad(picture.reshape(height, -1), ((0, 0), (1, 0)))  # filter 0 before each row
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), level=1)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
