from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest
from synthetic import blob, write_site, write_volume

from crisp_core.errors import DataError
from crisp_core.files.cache import prepared_case
from crisp_core.files.cohort import read_cohort
from crisp_core.files.examine import open_case
from crisp_core.files.preprocess import (
    PrepareSettings,
    placement_of,
    prepare_image,
    prepare_labels,
)

SETTINGS = PrepareSettings((16, 16))


def prepare(folder, case, settings=SETTINGS):
    return prepared_case(case, site="s", settings=settings, folder=folder, class_count=2)


@pytest.fixture
def case(tmp_path):
    return read_cohort(write_site(tmp_path / "site", 1), "s", 2).cases[0]


def written(folder):
    """Name and inode of every array: a rebuild replaces the file."""
    return {(path.name, path.stat().st_ino) for path in (folder / "s").glob("*.npy")}


def test_a_prepared_case_is_what_preparing_gives(tmp_path, case):
    image, labels = open_case(case, 2)

    prepared = prepare(tmp_path / "cache", case)

    np.testing.assert_array_equal(prepared.images, prepare_image(image, SETTINGS))
    np.testing.assert_array_equal(prepared.labels, prepare_labels(labels, SETTINGS))
    assert prepared.images.dtype == np.float32
    assert prepared.labels.dtype == np.uint8
    assert (prepared.grid, prepared.placement) == (image.grid, placement_of(image.grid, SETTINGS))


def test_a_second_call_reads_what_the_first_wrote(tmp_path, case):
    first = prepare(tmp_path, case)
    before = written(tmp_path)

    second = prepare(tmp_path, case)

    assert written(tmp_path) == before
    np.testing.assert_array_equal(first.images, second.images)
    assert first.grid == second.grid


def test_a_changed_file_is_prepared_anew_and_the_old_arrays_go(tmp_path, case):
    before = np.array(prepare(tmp_path, case).images)
    write_volume(case.images[0], blob((24, 20, 3), 2, seed=99)[0])

    after = prepare(tmp_path, case)

    assert (before != after.images).any()
    assert len(written(tmp_path)) == 2


def test_a_file_that_was_only_touched_is_not_prepared_anew(tmp_path, case):
    prepare(tmp_path, case)
    before = written(tmp_path)
    os.utime(case.images[0], ns=(1, 1))

    prepare(tmp_path, case)

    assert written(tmp_path) == before


def test_content_of_equal_size_and_time_is_noticed(tmp_path, case):
    raw = case.images[0].with_name("c0.nii")
    case.images[0].unlink()
    case = replace(case, images=(raw,))
    write_volume(raw, blob((24, 20, 3), 2, seed=1)[0])
    os.utime(raw, ns=(1, 1))
    before = np.array(prepare(tmp_path, case).images)

    write_volume(raw, blob((24, 20, 3), 2, seed=2)[0])
    os.utime(raw, ns=(1, 1))

    assert (before != prepare(tmp_path, case).images).any()


def test_other_settings_are_kept_beside_each_other(tmp_path, case):
    prepare(tmp_path, case)
    before = written(tmp_path)

    prepared = prepare(tmp_path, case, PrepareSettings((16, 16), percentiles=(5.0, 95.0)))

    assert prepared.images.shape == (3, 1, 16, 16)
    assert written(tmp_path) > before


def test_a_corrected_spacing_is_other_settings(tmp_path, case):
    settings = PrepareSettings((16, 16), "crop", spacing_mm=3.0)
    before = prepare(tmp_path, case, settings)

    after = prepare(tmp_path, replace(case, spacing_mm=(8.0, 6.0, 6.0)), settings)

    assert (before.placement.rows.step, after.placement.rows.step) == (2.0, 0.5)


@pytest.mark.parametrize("pattern", ["*.images.npy", "*.labels.npy", "*.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "emptied"])
def test_a_damaged_cache_is_made_anew(tmp_path, case, pattern, damage):
    expected = np.array(prepare(tmp_path, case).images)
    (path,) = (tmp_path / "s").glob(pattern)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 150 if damage == "cut" else 0])

    prepared = prepare(tmp_path, case)

    np.testing.assert_array_equal(prepared.images, expected)
    assert prepared.labels.shape == (3, 16, 16)


def test_a_case_that_cannot_be_used_leaves_nothing_behind(tmp_path, case):
    write_volume(case.images[0], np.zeros((24, 20, 3), np.int16))

    with pytest.raises(DataError, match="0 everywhere"):
        prepare(tmp_path / "cache", case)

    assert not (tmp_path / "cache").exists()


def test_a_case_that_went_away_is_told_in_a_sentence(tmp_path, case):
    case.label.unlink()

    with pytest.raises(DataError, match=r"No such file or directory \(case 'c0'\)"):
        prepare(tmp_path, case)


@pytest.mark.slow
def test_several_processes_may_make_the_same_case_at_once(tmp_path, case):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=prepare, args=(tmp_path, case)) for _ in range(3)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(list((tmp_path / "s").iterdir())) == 3  # images, labels, sidecar
    image, _ = open_case(case, 2)
    np.testing.assert_array_equal(prepare(tmp_path, case).images, prepare_image(image, SETTINGS))
