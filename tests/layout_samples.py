"""Data sets of exactly the published shapes, a few small files each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from synthetic import blob, write_volume

SHAPE, FRAME_COUNT = (24, 20, 5), 6
OLD = "201014_M&Ms_Dataset_Information_-_opendataset.csv"
NEW = "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
MNMS = {
    "A0S9V9": ("Training/Labeled", "A", "1", 0, 3),
    "A1D0Q7": ("Training/Labeled", "B", "2", 4, 1),
    "B3P9R2": ("Validation", "B", "3", 1, 5),
    "C5L0R3": ("Testing", "C", "4", 0, 2),
    "D6H6O2": ("Testing", "D", "5", 0, 2),
}
"""Code -> place, vendor, centre, ED and ES from 0; ED need not come first."""
REACH = {"RV": 0.85, "MYO": 0.75, "LV": 0.5}
"""Radius of each disc, the cavity the innermost; half the side of a slice is 1."""


def heart(seed: int, numbers: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its mask: the cavity inside, then the wall, then the other ventricle."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.hypot(x - rng.uniform(-0.1, 0.1), y - rng.uniform(-0.1, 0.1))
    image, mask = rng.normal(100, 10, SHAPE), np.zeros(SHAPE, np.uint8)
    for grey, (name, reach) in enumerate(REACH.items(), start=2):
        mask[radius < reach] = numbers[name]
        image[radius < reach] += 100 * grey
    return image.astype(np.int16), mask


def mnms(
    folder: Path,
    patients: Mapping[str, tuple[str, str, str, int, int]] = MNMS,
    *,
    new: bool = True,
    seed: int = 0,
    opened: bool = True,
) -> Path:
    """Write `OpenDataset` with the older or the newer table; empty files if nobody opens them."""
    rows = []
    for number, (code, (place, vendor, centre, first, second)) in enumerate(patients.items()):
        home = folder / place / code
        _write_patient(home, (first, second), 100 * seed + number) if opened else _touch(home)
        old = f"{code},Scanner,{vendor},{centre},{first},{second}"
        more = f"{number},{code},HCM,Scanner,{vendor},{centre},{first},{second},60,M,,"
        rows.append(more if new else old)
    header = "External code,VendorName,Vendor,Centre,ED,ES"
    if new:
        header = ",External code,Pathology,VendorName,Vendor,Centre,ED,ES,Age,Sex,Height,Weight"
    table = folder / (NEW if new else OLD)
    table.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig" if new else "utf-8")
    return folder


def _write_patient(folder: Path, frames: tuple[int, int], seed: int) -> None:
    cine, masks = (np.zeros((*SHAPE, FRAME_COUNT), kind) for kind in (np.int16, np.uint8))
    for frame in range(FRAME_COUNT):
        cine[..., frame], mask = heart(seed, {"LV": 1, "MYO": 2, "RV": 3})
        cine[..., frame] += frame  # no two frames are alike
        if frame in frames:
            masks[..., frame] = mask
    write_volume(folder / f"{folder.name}_sa.nii.gz", cine)
    write_volume(folder / f"{folder.name}_sa_gt.nii.gz", masks)


def _touch(folder: Path) -> None:
    folder.mkdir(parents=True)
    for end in ("", "_gt"):
        (folder / f"{folder.name}_sa{end}.nii.gz").touch()


def acdc(folder: Path, patients: int = 2, *, seed: int = 50) -> Path:
    """Write `database` with files of ED and ES, and their cine; frames count from 1."""
    for number in range(1, patients + 1):
        part = "training" if number < patients else "testing"
        name = f"patient{number:03d}"
        place = folder / part / name
        image, mask = heart(seed + number, {"LV": 3, "MYO": 2, "RV": 1})
        cine = np.stack([image + frame for frame in range(4)], axis=-1)
        write_volume(place / f"{name}_4d.nii.gz", cine)
        for frame in (1, 4):
            write_volume(place / f"{name}_frame{frame:02d}.nii.gz", cine[..., frame - 1])
            write_volume(place / f"{name}_frame{frame:02d}_gt.nii.gz", mask)
        (place / "Info.cfg").write_text("ED: 1\nES: 4\nGroup: DCM\nHeight: 184.0\nNbFrame: 4\n")
    return folder


def prostate(folder: Path) -> Path:
    """Write three of the six sites; one names its masks with a capital and has two zones."""
    for number, (site, end) in enumerate(
        {"RUNMC": "_segmentation", "BMC": "_Segmentation", "HK": "_segmentation"}.items()
    ):
        for case in ("Case00", "Case01"):
            image, labels = blob(SHAPE, 2, number)
            zones = labels if site == "BMC" else (labels > 0).astype(np.uint8)
            write_volume(folder / site / f"{case}.nii.gz", image)
            write_volume(folder / site / f"{case}{end}.nii.gz", zones)
    return folder


def brats(folder: Path, subjects: Sequence[str], *, newer: bool = False) -> Path:
    """Write folders of subjects; enhancing tumour is 4, or 3 in the newer release."""
    names = ("t1n", "t1c", "t2w", "t2f") if newer else ("t1", "t1ce", "t2", "flair")
    joint = "-" if newer else "_"
    for number, subject in enumerate(subjects):
        image, labels = blob(SHAPE, 3, number)
        mask = np.where((labels == 3) & (not newer), 4, labels).astype(np.uint8)
        for place, name in enumerate(names):
            path = folder / subject / f"{subject}{joint}{name}.nii.gz"
            write_volume(path, (image + 10 * place).astype(np.int16))
        write_volume(folder / subject / f"{subject}{joint}seg.nii.gz", mask)
    return folder


def msd(folder: Path) -> Path:
    """Write a task of two sequences, with the `._` copies and the `./` that its archives have."""
    rows = []
    for number in (1, 2):
        name = f"prostate_{number:02d}.nii.gz"
        image, labels = blob(SHAPE, 2, number)
        stacked = np.stack([image, image + 5], axis=-1)
        write_volume(folder / "imagesTr" / name, stacked)
        write_volume(folder / "labelsTr" / name, labels)
        for part in ("imagesTr", "labelsTr"):
            (folder / part / f"._{name}").write_bytes(b"\x00\x05\x16\x07Mac OS X")
        rows.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    description = {
        "name": "PROSTATE",
        "description": "",
        "tensorImageSize": "4D",
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ", "2": "transition zone"},
        "numTraining": 2,
        "numTest": 1,
        "training": rows,
        "test": ["./imagesTs/prostate_03.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def nnunet(folder: Path, *, regions: bool = False, channels: int = 2) -> Path:
    """Write a raw data set with two training cases and a test case."""
    for part, names in {"Tr": ("case_01", "case_02"), "Ts": ("case_03",)}.items():
        for number, name in enumerate(names):
            image, labels = blob(SHAPE, 3 if regions else 2, number)
            write_volume(folder / f"labels{part}" / f"{name}.nii.gz", labels)
            for channel in range(channels):
                path = folder / f"images{part}" / f"{name}_{channel:04d}.nii.gz"
                write_volume(path, (image + 7 * channel).astype(np.int16))
    description = {
        "channel_names": {str(channel): f"MR{channel}" for channel in range(channels)},
        "labels": REGIONS if regions else {"background": 0, "TZ": 1, "PZ": 2},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    if regions:
        description["regions_class_order"] = [1, 2, 3]
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def bids(folder: Path) -> Path:
    """Write raw images, one pipeline's masks, names of labels and two sites."""
    pipeline = folder / "derivatives" / "manual"
    for number, (subject, session) in enumerate((("sub-01", "ses-1"), ("sub-02", "ses-1"))):
        image, labels = blob(SHAPE, 2, number)
        name = f"{subject}_{session}"
        raw = folder / subject / session / "anat" / f"{name}_T2w.nii.gz"
        mask = pipeline / subject / session / "anat" / f"{name}_space-orig_desc-hand_dseg.nii.gz"
        write_volume(raw, image)
        write_volume(mask, labels)
    (folder / "participants.tsv").write_text(
        "participant_id\tage\tsite\nsub-01\t50\tnorth\nsub-02\tn/a\tsouth\n"
    )
    kind = {"Name": "manual", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (pipeline / "dataset_description.json").write_text(json.dumps(kind))
    (pipeline / "desc-hand_dseg.tsv").write_text("index\tname\n0\tbackground\n1\tcord\n2\tlesion\n")
    return folder


def table(folder: Path, text: str, *, names: Sequence[str] = ("a", "b")) -> Path:
    """Write `table.csv` and the files that it may name: images and masks of 3 axes, one of 4."""
    for number, name in enumerate(names):
        image, labels = blob(SHAPE, 2, number)
        write_volume(folder / "files" / f"{name}.nii.gz", image)
        write_volume(folder / "files" / f"{name}_2.nii.gz", image + 3)
        write_volume(folder / "files" / f"{name}_mask.nii.gz", labels)
        cine = np.stack([image, image + 9], axis=-1)
        write_volume(folder / "files" / f"{name}_cine.nii.gz", cine)
    (folder / "table.csv").write_text(text)
    return folder
