"""Medical Segmentation Decathlon: a task is a folder with lists of its files.

    TaskNN_Name/  dataset.json   imagesTr/X_001.nii.gz   labelsTr/X_001.nii.gz   imagesTs/…

Sequences are the fourth axis of an image. Paths in `dataset.json` begin with `./`; its labels map
numbers to names. Some archives hold a `._X_001.nii.gz` beside every file, which is no image.

Source:
    Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13, 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from crisp_core.files.cohort import Case
from crisp_core.files.layouts.description_file import described, read_description, table_of, wrong
from crisp_core.files.layouts.layout import DataSet, Layout, collected, fault, stem, volumes
from crisp_core.files.layouts.sites_table import with_sites
from crisp_core.files.meanings import Meanings, as_name


def read_msd(folder: Path) -> DataSet:
    """List the training cases of a task; its test cases have no masks.

    Args:
        folder: `TaskNN_Name`.

    Raises:
        DataError: If `dataset.json` is not what it should be.
    """
    description = read_description(folder)
    pairs = list(_pairs(description))
    cases, flaws = collected((name, partial(_case, folder, pair)) for name, pair in pairs)
    channels = tuple(str(name) for _, name in sorted(table_of(description, "modality").items()))
    remarks = tuple(_remarks(folder, description, {name for name, _ in pairs}))
    return with_sites(
        DataSet("msd", cases, _meanings(description), flaws, remarks, channels), folder
    )


def _meanings(description: dict[str, Any]) -> Meanings:
    labels = table_of(description, "labels")
    if not all(str(number).isdecimal() for number in labels):
        raise wrong(expected="labels as number -> name", got=", ".join(map(str, labels)))
    return {int(number): (as_name(str(n)),) for number, n in labels.items() if int(number) > 0}


def _pairs(description: dict[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    rows = description.get("training")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise wrong(expected="a list 'training' of image and label", got="another thing")
    for row in rows:
        name = stem(Path(str(row.get("image", ""))))
        if name is not None:
            yield name, row


def _case(folder: Path, pair: Mapping[str, str]) -> Iterator[Case]:
    image, label = (folder / str(pair.get(key, "")) for key in ("image", "label"))
    name = str(stem(image))
    for path in (image, label):
        if not path.is_file():
            fix = "Unpack the archive again"
            raise fault(name, f"the file {path.parent.name}/{path.name}", "none", fix)
    yield Case(name, name, (image,), label, part="training")


def _remarks(folder: Path, description: dict[str, Any], listed: set[str]) -> Iterator[str]:
    unlisted = sorted(set(volumes(folder / "imagesTr")) - listed)
    if unlisted:
        yield f"{len(unlisted)} images in imagesTr are not listed and not used"
    told = description.get("numTraining")
    if told != len(listed):
        yield f"dataset.json says {told} training cases and lists {len(listed)}"
    test = description.get("test")
    if isinstance(test, list) and test:
        yield f"{len(test)} test cases have no masks and are not used"


LAYOUT = Layout(
    "msd",
    "a dataset.json with 'modality' beside imagesTr/ and labelsTr/",
    lambda folder: "modality" in described(folder) and (folder / "labelsTr").is_dir(),
    read_msd,
)
