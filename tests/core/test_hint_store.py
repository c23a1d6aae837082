from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.errors import HintsMissingError
from crisp_core.files.hint_store import HintStore, StoredHints


def hints(seed=0, shape=(3, 2, 5, 7), count=10, levels=5):
    rng = np.random.default_rng(seed)
    support = rng.random(shape) > 0.3
    return StoredHints(
        core=support & (rng.random(shape) > 0.5),
        support=support,
        grade_sums=rng.integers(0, count * (levels - 1) + 1, shape),
        count=count,
        levels=levels,
        labels=rng.integers(0, shape[1] + 1, (shape[0], *shape[2:])),
    )


def assert_equal(one, other):
    for field in fields(StoredHints):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(1, 6)] * 4),
    st.sampled_from([(10, 5), (1, 2), (255, 2), (256, 2), (40, 25)]),
)
@settings(deadline=None, max_examples=30)
def test_what_is_written_is_read(tmp_path_factory, seed, shape, grades):
    store, written = HintStore(tmp_path_factory.mktemp("hints")), hints(seed, shape, *grades)

    store.write("c0", 2, written, "model")

    assert_equal(store.read("c0", 2, "model"), written)


@pytest.mark.parametrize(
    ("count", "levels", "size"), [(10, 5, 1), (255, 2, 1), (128, 3, 2), (64, 5, 2)]
)
def test_a_grade_sum_takes_one_byte_if_it_fits(tmp_path, count, levels, size):
    store = HintStore(tmp_path)

    store.write("c0", 2, hints(count=count, levels=levels), "model")

    assert store.read("c0", 2, "model").grade_sums.itemsize == size  # 255 fits, 256 does not


def test_hints_of_another_model_case_or_generation_are_missing(tmp_path):
    store = HintStore(tmp_path)
    store.write("c0", 2, hints(), "model")

    assert store.present("c0", 2, "model")
    assert not store.present("c0", 2, "other")
    assert not store.present("c0", 3, "model")
    assert not store.present("c1", 2, "model")
    with pytest.raises(HintsMissingError, match="generation 2 made by model other, got those of"):
        store.read("c0", 2, "other")


def test_newer_hints_take_the_place_of_older_ones(tmp_path):
    store = HintStore(tmp_path)
    store.write("c0", 2, hints(0), "old")
    store.write("c0", 2, hints(1), "new")

    assert_equal(store.read("c0", 2, "new"), hints(1))
    assert not store.present("c0", 2, "old")


def test_a_file_damaged_anywhere_counts_as_missing(tmp_path):
    store = HintStore(tmp_path)
    store.write("c0", 2, hints(), "model")
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()

    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
        assert not store.present("c0", 2, "model")
        path.write_bytes(data[:place])
        assert not store.present("c0", 2, "model")


def test_smooth_masks_take_little_space(tmp_path):
    y, x = np.mgrid[:256, :256]
    disc = np.broadcast_to(np.hypot(y - 128, x - 128) < 60, (10, 3, 256, 256))
    sums = np.zeros(disc.shape, int)

    HintStore(tmp_path).write("c0", 2, StoredHints(disc, disc, sums, 10, 5, sums[:, 0]), "model")

    (path,) = tmp_path.iterdir()
    assert path.stat().st_size < disc.size / 50  # 2 masks of 1 bit, 2 numbers of 1 byte: raw 2.6
