"""nnU-Net v2 raw: one file a channel, labels or regions named in `dataset.json`.

    DatasetNNN_Name/  dataset.json
                      imagesTr/<case>_0000.nii.gz, <case>_0001.nii.gz …   labelsTr/<case>.nii.gz
                      imagesTs/…   labelsTs/…                             (optional)
                      sites.csv: case,site[,vendor,patient,split]         (optional, ours)

A region is a list of labels; `regions_class_order` says which label is painted for which region.
The label painted for a region, where that holds more than this label, is called `<region>-only`.

Source:
    Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
    segmentation", Nature Methods 18, 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from crisp_core.files.cohort import CHANNEL, SUFFIXES, Case
from crisp_core.files.layouts.description_file import described, read_description, table_of, wrong
from crisp_core.files.layouts.layout import DataSet, Layout, collected, fault, volumes
from crisp_core.files.layouts.sites_table import with_sites
from crisp_core.files.meanings import Meanings, as_name

PARTS = {"Tr": "training", "Ts": "testing"}
IGNORE = "ignore"


def read_nnunet(folder: Path) -> DataSet:
    """List the training cases, and the test cases that have masks.

    Args:
        folder: `DatasetNNN_Name`.

    Raises:
        DataError: If `dataset.json` is not what it should be.
    """
    description = read_description(folder)
    _insist_on_suffix(description)
    channels = table_of(description, "channel_names")
    names = tuple(str(channels[key]) for key in sorted(channels, key=int))
    cases, flaws = collected(
        (case, partial(_case, folder, part, case, len(names)))
        for part in PARTS
        for case in _names(folder, part)
    )
    remarks = tuple(_remarks(description, cases))
    data = DataSet("nnunet", cases, label_meanings(description), flaws, remarks, names)
    return with_sites(data, folder)


def label_meanings(description: dict[str, Any]) -> Meanings:
    """Name every label by the structures and regions that it is part of.

    Raises:
        DataError: If a label is no number, regions have no order, or some voxels are to be ignored.

    Examples:
        >>> regions = {"background": 0, "whole": [1, 2], "core": [2]}
        >>> label_meanings({"labels": regions, "regions_class_order": [1, 2]})
        {1: ('whole-only', 'whole'), 2: ('core', 'whole')}
    """
    labels = {
        as_name(name): _numbers(name, v) for name, v in table_of(description, "labels").items()
    }
    if IGNORE in labels:
        raise wrong(expected="labels that say what every voxel is", got="an 'ignore' label")
    structures = {name: numbers for name, numbers in labels.items() if numbers != (0,)}
    if all(len(numbers) == 1 for numbers in structures.values()):
        return {numbers[0]: (name,) for name, numbers in structures.items()}
    order = description.get("regions_class_order")
    if not isinstance(order, list) or len(order) != len(structures):
        got = f"regions_class_order = {order}"
        raise wrong(
            expected=f"one label of regions_class_order for each of {len(structures)} regions",
            got=got,
        )
    painted = dict(zip(map(int, order), structures, strict=True))
    return {number: _region_names(number, painted, structures) for number in sorted(painted)}


def _region_names(
    number: int, painted: Mapping[int, str], regions: Mapping[str, tuple[int, ...]]
) -> tuple[str, ...]:
    own = painted[number]
    alone = own if regions[own] == (number,) else f"{own}-only"
    within = [name for name, numbers in regions.items() if number in numbers and name != alone]
    return (alone, *within)


def _numbers(name: str, value: object) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise wrong(
            expected="labels as name -> number, or list of numbers", got=f"{name!r}: {value!r}"
        )
    return tuple(numbers)


def _insist_on_suffix(description: dict[str, Any]) -> None:
    ending = description.get("file_ending", ".nii.gz")
    if ending not in SUFFIXES:
        raise wrong(expected=f"file_ending {' or '.join(SUFFIXES)}", got=repr(ending))


def _names(folder: Path, part: str) -> list[str]:
    """List cases by their images and their masks; test cases without masks are left alone."""
    masks = set(volumes(folder / f"labels{part}"))
    images = (CHANNEL.fullmatch(name) for name in volumes(folder / f"images{part}"))
    with_images = {match["case"] for match in images if match}
    return sorted(masks | with_images if part == "Tr" else masks)


def _case(folder: Path, part: str, name: str, channel_count: int) -> Iterator[Case]:
    images = volumes(folder / f"images{part}")
    labels = volumes(folder / f"labels{part}")
    for number in range(channel_count):
        wanted = f"{name}_{number:04d}"
        if wanted not in images:
            fix = "Add the channel, or correct channel_names in dataset.json"
            raise fault(name, f"an image {wanted} in images{part}/", "none", fix)
    if name not in labels:
        fix = "Add the mask, or take the images out"
        raise fault(name, f"a mask in labels{part}/", "none", fix)
    files = tuple(images[f"{name}_{number:04d}"] for number in range(channel_count))
    yield Case(name, name, files, labels[name], part=PARTS[part])


def _remarks(description: dict[str, Any], cases: tuple[Case, ...]) -> Iterator[str]:
    count = sum(case.part == PARTS["Tr"] for case in cases)
    if description.get("numTraining") != count:
        yield f"dataset.json says {description.get('numTraining')} training cases; {count} are here"


LAYOUT = Layout(
    "nnunet",
    "a dataset.json with 'channel_names' beside imagesTr/ and labelsTr/",
    lambda folder: "channel_names" in described(folder) and (folder / "labelsTr").is_dir(),
    read_nnunet,
)
