from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crisp_core.report.palette import (
    LACKING,
    MISTAKEN,
    REFERENCE,
    RIGHT,
    WRONG,
    structure_colour,
)
from crisp_core.report.pictures import (
    OPACITY,
    enlarge,
    errors,
    grey_values,
    heat,
    outline,
    overlay,
    panel_views,
    png,
)

labels = arrays(np.int64, (6, 5), elements=st.integers(0, 2))


def decode(picture: bytes) -> npt.NDArray[np.uint8]:
    """Read an unfiltered RGB PNG, checking every checksum."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    place, content = 8, {}
    while place < len(picture):
        (length,) = struct.unpack(">I", picture[place : place + 4])
        kind, body = picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        (check,) = struct.unpack(">I", picture[place + 8 + length : place + 12 + length])
        assert zlib.crc32(kind + body) == check
        content[kind] = body
        place += 12 + length
    width, height = struct.unpack(">II", content[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(content[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def outline_by_the_book(image: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    found = np.zeros(image.shape, dtype=bool)
    for y, x in np.argwhere(image > 0):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            inside = 0 <= y + dy < image.shape[0] and 0 <= x + dx < image.shape[1]
            if not inside or image[y + dy, x + dx] != image[y, x]:
                found[y, x] = True
    return found


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))))
def test_a_png_decodes_to_the_picture(picture: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decode(png(picture)), picture)


@given(labels)
def test_an_outline_agrees_with_the_book(image: npt.NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(outline(image), outline_by_the_book(image))


def test_a_tint_mixes_grey_and_colour() -> None:
    grey = np.full((1, 2), 100, np.uint8)

    picture = overlay(grey, [np.array([[True, False]])], None)

    expected = np.rint((1 - OPACITY) * 100 + OPACITY * np.array(structure_colour(0)))
    assert picture[0, 0].tolist() == expected.tolist()
    assert picture[0, 1].tolist() == [100, 100, 100]


def test_where_masks_overlap_their_colours_are_averaged() -> None:
    everywhere = np.ones((1, 1), dtype=bool)

    picture = overlay(np.zeros((1, 1), np.uint8), [everywhere, everywhere], None)

    mean = (np.array(structure_colour(0)) + structure_colour(1)) / 2
    assert picture[0, 0].tolist() == np.rint(OPACITY * mean).tolist()


def test_the_reference_is_outlined_in_every_view_but_the_image() -> None:
    image = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    reference = np.zeros((64, 64), dtype=np.int64)
    reference[20:40, 20:40] = 1
    nothing = np.zeros((1, 64, 64), dtype=bool)

    views = panel_views(image, reference, 0 * reference, nothing, nothing, entropy=image)

    plain = ["image", "reference", "prediction", "core", "support", "uncertain"]
    assert list(views) == [*plain, "entropy", "errors"]
    for name, view in views.items():
        picture = decode(base64.b64decode(view))
        assert picture.shape == (256, 256, 3)  # enlarged four times
        assert (picture[80, 100] == REFERENCE).all() == (name != "image")


def test_errors_are_green_where_found_red_where_too_much_and_blue_where_missed() -> None:
    reference = np.array([[1, 0, 1, 1, 0]])
    prediction = np.array([[1, 1, 0, 2, 0]])

    picture = errors(np.zeros((1, 5), np.uint8), reference, prediction)

    colours = [RIGHT, WRONG, LACKING, MISTAKEN, (0, 0, 0)]
    expected = [np.rint(OPACITY * np.array(colour)).tolist() for colour in colours]
    assert picture[0].tolist() == expected


def test_heat_runs_from_dark_to_light() -> None:
    picture = heat(np.linspace(0, np.log(2), 20)[None], np.log(2)).astype(int).sum(axis=-1)[0]

    assert (np.diff(picture) > 0).all()
    assert picture[0] == 0


def test_a_constant_image_is_black() -> None:
    assert not grey_values(np.full((3, 3), 7.0)).any()


def test_pixels_are_repeated_by_a_whole_factor() -> None:
    assert enlarge(np.zeros((100, 50))).shape == (300, 150)
    assert enlarge(np.zeros((400, 50))).shape == (400, 50)


def test_arrays_of_different_slices_are_refused() -> None:
    image, masks = np.zeros((4, 4)), np.zeros((1, 4, 5), dtype=bool)

    with pytest.raises(ValueError, match="must share one"):
        panel_views(image, np.zeros((4, 4), int), np.zeros((4, 4), int), masks, masks)
