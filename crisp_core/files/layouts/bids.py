"""BIDS derivatives: masks of a pipeline beside the raw images that they were drawn on.

    participants.tsv: participant_id[, site, …]
    sub-01/[ses-1/]anat/sub-01[_ses-1]_T2w.nii.gz
    derivatives/<pipeline>/dataset_description.json      DatasetType "derivative"
    derivatives/<pipeline>/[…_]dseg.tsv                  index, name
    derivatives/<pipeline>/sub-01/[ses-1/]anat/sub-01[_ses-1]_space-orig_desc-x_dseg.nii.gz

Instead of `_dseg` a pipeline may write one `_label-<name>_mask`. Images whose other parts of the
name agree with the mask's are its channels, in the order of their names.

Source:
    Gorgolewski et al., "The brain imaging data structure", Scientific Data 3, 2016.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from crisp_core.errors import DataError
from crisp_core.files.cohort import Case
from crisp_core.files.layouts.layout import DataSet, Layout, collected, fault, folders, volumes
from crisp_core.files.layouts.tsv import read_tsv
from crisp_core.files.meanings import Meanings, as_name

OF_A_MASK = re.compile(r"_(?:space|res|den|desc|label|seg)-[A-Za-z0-9]+")
LABEL = re.compile(r"_label-(?P<name>[A-Za-z0-9]+)")
SEGMENTATION, MASK = "_dseg", "_mask"


def read_bids(folder: Path) -> DataSet:
    """List every mask of the one pipeline with its raw images.

    Args:
        folder: The raw data set, or one pipeline of its `derivatives`.

    Raises:
        DataError: If there is no pipeline, or more than one.
    """
    raw, pipeline = _places(folder)
    masks = list(_masks(pipeline))
    sites = _sites(raw)
    cases, flaws = collected(
        (mask.name.partition(".")[0], partial(_case, raw, pipeline, mask, sites)) for mask in masks
    )
    channels = sorted(
        {path.name.partition(".")[0].rpartition("_")[2] for c in cases for path in c.images}
    )
    said = f"Masks of the pipeline {pipeline.name}"
    return DataSet("bids", cases, _meanings(pipeline, masks), flaws, (said,), tuple(channels))


def _places(folder: Path) -> tuple[Path, Path]:
    pipelines = _pipelines(folder)
    if len(pipelines) == 1:
        return folder, pipelines[0]
    if not pipelines and folder.parent.name == "derivatives" and any(_masks(folder)):
        return folder.parent.parent, folder
    got = ", ".join(path.name for path in pipelines) or "none"
    fix = "Name the folder of one: derivatives/<pipeline>"
    raise DataError(expected="one pipeline with masks", got=got, where=str(folder), fix=fix)


def _pipelines(folder: Path) -> list[Path]:
    return [path for path in folders(folder / "derivatives") if any(_masks(path))]


def _masks(pipeline: Path) -> Iterator[Path]:
    for place in _anatomies(pipeline):
        for name, path in volumes(place).items():
            if name.endswith(SEGMENTATION) or (name.endswith(MASK) and LABEL.search(name)):
                yield path


def _anatomies(folder: Path) -> Iterator[Path]:
    for subject in folders(folder):
        if subject.name.startswith("sub-"):
            sessions = [place for place in folders(subject) if place.name.startswith("ses-")]
            yield from (place / "anat" for place in sessions or [subject])


def _case(raw: Path, pipeline: Path, mask: Path, sites: dict[str, str]) -> Iterator[Case]:
    whole = mask.name.partition(".")[0]
    name = OF_A_MASK.sub("", whole).rpartition("_")[0]
    place = raw / mask.parent.relative_to(pipeline)
    images = [path for own, path in volumes(place).items() if own.rpartition("_")[0] == name]
    if not images:
        wanted = f"an image {name}_<suffix>.nii.gz in {place.relative_to(raw)}/"
        raise fault(whole, wanted, "none", "Add the raw image, or take the mask out")
    subject = name.partition("_")[0]
    yield Case(
        case_id=name,
        patient_id=subject,
        images=tuple(images),
        label=mask,
        site=sites.get(subject, raw.resolve().name),
    )


def _sites(raw: Path) -> dict[str, str]:
    path = raw / "participants.tsv"
    rows = read_tsv(path) if path.is_file() else []
    return {row["participant_id"]: row["site"] for row in rows if row.get("site")}


def _meanings(pipeline: Path, masks: list[Path]) -> Meanings | None:
    """Read the names beside the first mask or, as they are inherited, from the pipeline's own."""
    if not masks:
        return None
    match = LABEL.search(masks[0].name)
    if match and MASK in masks[0].name:
        return {1: (match["name"],)}
    beside = masks[0].parent / f"{masks[0].name.partition('.')[0]}.tsv"
    shared = sorted(pipeline.glob("*dseg.tsv"))
    tables = [beside, *shared] if beside.is_file() else shared
    if not tables:
        return None
    rows = read_tsv(tables[0])
    return {
        int(row["index"]): (as_name(row["name"]),)
        for row in rows
        if row.get("index", "").isdecimal() and int(row["index"]) > 0 and row.get("name")
    }


def _matches(folder: Path) -> bool:
    is_pipeline = folder.parent.name == "derivatives" and any(_masks(folder))
    return bool(_pipelines(folder)) or is_pipeline


LAYOUT = Layout(
    "bids",
    "derivatives/<pipeline>/sub-*/[ses-*/]anat/*_dseg.nii.gz",
    _matches,
    read_bids,
)
