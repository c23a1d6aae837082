"""The data verdict on volumes: sound cohorts pass, spoilt ones are named before any training."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from federation_on_disk import tiny_options

from crisp_client.survey import site_description
from crisp_core.errors import StudyError
from crisp_core.files.phantom_cohort import KINDS, write_phantom
from crisp_core.schema.description import VerdictLine
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import SiteDescription
from crisp_core.schema.study import Study
from crisp_server.simulate import start
from crisp_server.simulation.inline import run_inline
from crisp_server.verdict import verdict

SHARED = Path(os.environ.get("CRISP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
PATIENTS, SIZE = 3, 64
Spoil = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def study_of(folder: Path, classes: tuple[str, ...], **sections: object) -> Study:
    sites = sorted(path.parent.name for path in folder.glob("*/cases.csv"))
    raw = {
        "name": "verdict",
        "classes": [name.replace(" ", "-") for name in classes],
        "sites": {site: {"role": "source", "data": str(folder / site)} for site in sites},
        "images": {"size": [48, 48]},
        "training": {"steps": 6, "batch_size": 2},
        **sections,
    }
    return Study.model_validate_json(json.dumps(raw))


def described(study: Study, work: Path) -> dict[str, SiteDescription]:
    return {site: told(study, site, Path(study.sites[site].data[0]), work) for site in study.sites}


def told(study: Study, site: str, data: Path, work: Path) -> SiteDescription:
    own = work / data.parent.name / site
    own.mkdir(parents=True, exist_ok=True)
    settings = SiteSettings(
        site=site, data=(str(data),), work=str(own), device="cpu", threads=1, pseudonym_key="x"
    )
    return site_description(settings, study)


def errors(study: Study, sites: dict[str, SiteDescription]) -> list[VerdictLine]:
    return [line for line in verdict(study, sites) if line.level == "error"]


def spoilt(source: Path, target: Path, spoil: Spoil) -> Path:
    """Copy a site, with every case's image, mask and affine changed."""
    shutil.copytree(source, target)
    for path in sorted((target / "images").iterdir()):
        mask = target / "labels" / path.name
        image, labels = nib.load(path), nib.load(mask)
        *arrays, affine = spoil(
            np.asarray(image.dataobj), np.asarray(labels.dataobj), image.affine.copy()
        )
        for array, place in zip(arrays, (path, mask), strict=True):
            changed = nib.Nifti1Image(np.ascontiguousarray(array), affine)
            changed.set_qform(affine, code=1)
            changed.set_sform(affine, code=1)
            nib.save(changed, place)
    return target


def exchanged(*numbers: int) -> Spoil:
    """Give label i + 1 the number `numbers[i]`."""
    table = np.array([0, *numbers], np.uint8)
    return lambda image, labels, affine: (image, table[labels], affine)


def stretched(*factors: float) -> Spoil:
    return lambda image, labels, affine: (image, labels, affine @ np.diag([*factors, 1.0]))


SPOILS: dict[str, tuple[Spoil, str, str]] = {
    "labels 1 and 2": (exchanged(2, 1, 3), "labels", "1 to 2, 2 to 1"),
    "labels 1 and 3": (exchanged(3, 2, 1), "labels", "1 to 3, 3 to 1"),
    "labels in a ring": (exchanged(2, 3, 1), "labels", "1 to 3, 2 to 1, 3 to 2"),
    "transposed": (
        lambda image, labels, affine: (image.swapaxes(0, 1), labels.swapaxes(0, 1), affine),
        "axes",
        "affine",
    ),
    "left and right": (
        lambda image, labels, affine: (image[::-1], labels[::-1], affine),
        "axes",
        "affine",
    ),
    "slices for columns": (
        lambda image, labels, affine: (image.swapaxes(0, 2), labels.swapaxes(0, 2), affine),
        "axes",
        "affine",
    ),
    "centimetres": (stretched(0.1, 0.1, 0.1), "spacing", "spacing_mm in cases.csv"),
    "ten times": (stretched(10, 10, 10), "spacing", "spacing_mm in cases.csv"),
}


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    folder = tmp_path_factory.mktemp("hearts")
    write_phantom("cardiac", folder / "cardiac", seed=1, patients=PATIENTS, size=SIZE)
    return folder, study_of(folder / "cardiac", KINDS["cardiac"].labels)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_hospitals_of_every_synthetic_cohort_raise_no_false_alarm(
    kind: str, tmp_path: Path
) -> None:
    write_phantom(kind, tmp_path / kind, seed=2, patients=PATIENTS, size=SIZE)
    study = study_of(tmp_path / kind, KINDS[kind].labels)

    sites = described(study, tmp_path / "work")

    assert errors(study, sites) == []
    for one in sites:
        for other in sites:
            assert errors(study, {name: sites[name] for name in (one, other)}) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPOILS)
def test_a_spoilt_site_is_the_only_one_named_and_the_fix_is_said(
    kind: str, hearts: tuple[Path, Study], tmp_path: Path
) -> None:
    folder, study = hearts
    spoil, what, words = SPOILS[kind]
    sites = described(study, folder / "work")
    bad = spoilt(folder / "cardiac" / "vendor-b", tmp_path / "spoilt" / "vendor-b", spoil)

    found = errors(study, {**sites, "vendor-b": told(study, "vendor-b", bad, tmp_path)})

    assert {line.site for line in found} == {"vendor-b"}
    (line,) = [line for line in found if line.what == what]
    assert words in line.fix


@pytest.mark.slow
def test_another_orientation_of_the_files_changes_no_verdict(
    hearts: tuple[Path, Study], tmp_path: Path
) -> None:
    folder, study = hearts
    sites = described(study, folder / "work")

    def stored_the_other_way(
        image: np.ndarray, labels: np.ndarray, affine: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        turn = np.diag([-1.0, 1.0, 1.0, 1.0])
        turn[0, 3] = len(image) - 1
        return image[::-1], labels[::-1], affine @ turn

    other = spoilt(
        folder / "cardiac" / "vendor-b", tmp_path / "x" / "vendor-b", stored_the_other_way
    )
    changed = told(study, "vendor-b", other, tmp_path)

    assert changed.data is not None
    assert sites["vendor-b"].data is not None
    assert changed.data.orientations != sites["vendor-b"].data.orientations
    assert changed.data.structures == sites["vendor-b"].data.structures
    assert errors(study, {**sites, "vendor-b": changed}) == []


@pytest.mark.slow
def test_a_study_with_exchanged_labels_ends_before_round_one(
    hearts: tuple[Path, Study], tmp_path: Path
) -> None:
    folder, whole = hearts
    bad = spoilt(folder / "cardiac" / "vendor-b", tmp_path / "vendor-b", exchanged(2, 1, 3))
    entry = whole.sites["vendor-b"].model_copy(update={"data": (str(bad),)})
    study = whole.model_copy(update={"sites": {**whole.sites, "vendor-b": entry}})
    run = start(study, tmp_path / "run", tiny_options())

    with pytest.raises(StudyError, match=r"vendor-b \(6 cases\): .*1 to 2, 2 to 1"):
        run_inline(run.path, len(study.sites))

    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [one["action"] for one in events if one["event"] == "asked"] == ["describe"]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no shared data sets in {SHARED}")
@pytest.mark.parametrize(
    ("cohort", "classes", "images"),
    [
        (
            "spinalcord",
            ("cord", "grey-matter"),
            {"fit": "crop", "spacing_mm": 0.5, "size": [96, 96]},
        ),
        ("sunnybrook_lv", ("cavity",), {"size": [96, 96]}),
    ],
)
def test_real_hospitals_raise_no_false_alarm(
    cohort: str, classes: tuple[str, ...], images: dict[str, object], tmp_path: Path
) -> None:
    study = study_of(SHARED / cohort, classes, images=images)

    assert errors(study, described(study, tmp_path)) == []
