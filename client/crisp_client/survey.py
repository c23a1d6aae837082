"""What a site answers to `describe`: counts and figures over all its cases, never one of them."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from statistics import fmean, median
from typing import Any, Literal

import numpy as np
import torch
from pydantic import ValidationError

from crisp_client.cases import SiteCases, open_cases
from crisp_client.device import workbench_of
from crisp_core.files.atomic import write_text
from crisp_core.files.cache import stamps_of
from crisp_core.files.cohort import Case
from crisp_core.files.examine import open_case, open_image
from crisp_core.files.orientation import orientation_code
from crisp_core.files.volumes import LabelVolume, Volume
from crisp_core.numerics.profile import Profile, Structure, Triple, profile_of
from crisp_core.schema.description import UNLIKE, DataProfile, Machine, StructureProfile
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import SiteDescription
from crisp_core.schema.study import Study

PACKAGES = ("crisp-fl", "torch", "flwr", "numpy")


class SurveyedCase(Frozen):
    """What is remembered of one case: made once, made anew when its files change."""

    stamps: tuple[tuple[int, ...], ...]
    told_spacing_mm: Triple | None
    """As the site's table corrects it."""
    reading: str = ""
    """How the files are read: frame and numbering of the mask."""
    image_hash: str
    orientation: str
    shape: tuple[int, int, int]
    spacing_mm: Triple
    profile: Profile


class Survey(Frozen):
    """Every case by name; it stays in the site's work folder."""

    format: Literal[1] = 1
    """Counts up when a case would be measured otherwise."""
    cases: dict[str, SurveyedCase]


def site_description(settings: SiteSettings, study: Study) -> SiteDescription:
    """Describe what this site has for a study, and what it computes with.

    Raises:
        DataError: If the site's data cannot be used.
    """
    site = open_cases(settings, study)
    sealed = study.sealed(settings.site)
    class_voxels = {} if sealed else _class_voxels(site)  # refuses a case that cannot be used
    surveyed = survey_images(site) if sealed else survey_cases(site)
    train = site.of("train")
    depth, height, width = np.median([case.spacing_mm for case in surveyed.values()], axis=0)
    hashes = {case.image_hash for case in surveyed.values()}
    return SiteDescription(
        site=settings.site,
        role=study.sites[settings.site].role,
        train_cases=len(train),
        validation_cases=len(site.of("validation")),
        test_cases=len(site.of("test")),
        patients=len({case.patient_id for case in site.cases}),
        train_slices=sum(surveyed[case.case_id].shape[0] for case in train),
        class_voxels=class_voxels,
        spacing_mm_median=(float(depth), float(height), float(width)),
        software=versions(),
        device=str(workbench_of(settings).device),
        unreadable_cases=len(site.left_out),
        empty_masks=0 if sealed else sum(not c.profile.structures for c in surveyed.values()),
        duplicate_cases=len(surveyed) - len(hashes),
        data=_data_profile(site, surveyed),
        machine=machine(settings),
    )


def versions() -> dict[str, str]:
    """Name the versions that decide what is computed."""
    packages = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def machine(settings: SiteSettings) -> Machine:
    """Look at the machine: processors, GPU, disk, clock."""
    device = workbench_of(settings).device
    cuda = device.type == "cuda"
    return Machine(
        cpu_count=os.cpu_count() or 1,
        gpu_memory_bytes=torch.cuda.get_device_properties(device).total_memory if cuda else 0,
        free_disk_bytes=shutil.disk_usage(settings.work).free,
        clock_s=time.time(),
    )


def survey_cases(site: SiteCases) -> dict[str, SurveyedCase]:
    """Measure every case on its native grid; what was measured before is read from `work`."""
    path = site.work / "survey.json"
    known = _remembered(path.read_text() if path.is_file() else "")
    cases = {case.case_id: _surveyed(case, known.get(case.case_id)) for case in site.cases}
    if cases != known:
        write_text(path, Survey(cases=cases).model_dump_json())
    return cases


def survey_images(site: SiteCases) -> dict[str, SurveyedCase]:
    """Measure every case and leave its mask closed: it counts as empty; nothing is remembered."""
    return {case.case_id: survey_image(case) for case in site.cases}


def survey_image(case: Case) -> SurveyedCase:
    """Open one case's image, not its mask, and measure it.

    Raises:
        DataError: If it cannot be used.
    """
    image = open_image(case)
    unseen = np.zeros(image.array.shape[1:], np.uint8)
    return measured(case, image, LabelVolume(unseen, image.grid))


def _remembered(text: str) -> dict[str, SurveyedCase]:
    try:
        return Survey.model_validate_json(text).cases
    except ValidationError:
        return {}


def _surveyed(case: Case, known: SurveyedCase | None) -> SurveyedCase:
    if known is not None and (known.stamps, known.told_spacing_mm, known.reading) == _stamps(case):
        return known
    return survey_case(case)


def _stamps(case: Case) -> tuple[tuple[tuple[int, ...], ...], Triple | None, str]:
    stamps = tuple(tuple(stamp) for stamp in stamps_of(case))
    return stamps, case.spacing_mm, case.reading


def survey_case(case: Case, class_count: int | None = None) -> SurveyedCase:
    """Open one case and measure it.

    Args:
        case: Of a cohort.
        class_count: The mask may hold the labels 0 to this; None allows any.

    Raises:
        DataError: If it cannot be used.
    """
    return measured(case, *open_case(case, class_count))


def measured(case: Case, image: Volume, labels: LabelVolume) -> SurveyedCase:
    """Measure a case that is open."""
    stamps, told_spacing_mm, reading = _stamps(case)
    return SurveyedCase(
        stamps=stamps,
        told_spacing_mm=told_spacing_mm,
        reading=reading,
        image_hash=blake2b(image.array.tobytes(), digest_size=16).hexdigest(),
        orientation=orientation_code(image.grid),
        shape=image.grid.shape,
        spacing_mm=image.grid.spacing_mm,
        profile=profile_of(image.array, labels.array, image.grid.spacing_mm),
    )


def _class_voxels(site: SiteCases) -> dict[str, int]:
    """Count each structure's voxels on the study's grid: what training will see."""
    classes = site.study.classes
    counts = np.zeros(len(classes) + 1, np.int64)
    for case in site.cases:
        counts += np.bincount(site.prepared(case).labels.ravel(), minlength=len(counts))
    return {name: int(counts[number]) for number, name in enumerate(classes, start=1)}


def _data_profile(site: SiteCases, surveyed: dict[str, SurveyedCase]) -> DataProfile:
    every = list(surveyed.values())
    spacings = [case.spacing_mm for case in every]
    spreads = [case.profile.spread_mm for case in every if case.profile.spread_mm is not None]
    channels = zip(*(case.profile.percentiles for case in every), strict=False)
    return DataProfile(
        orientations=dict(sorted(Counter(case.orientation for case in every).items())),
        shape=_by_axis(median, [case.shape for case in every]),
        spacing_mm=_by_axis(median, spacings),
        unlike_spacings=sum(map(partial(is_unlike, _by_axis(median, spacings)), spacings)),
        percentiles=tuple(_by_axis(median, list(channel)) for channel in channels),
        whole_numbers=all(case.profile.whole_numbers for case in every),
        spread_mm=_by_axis(median, spreads) if spreads else None,
        structures=_structures(site, surveyed),
    )


def is_unlike(usual_mm: Sequence[float], spacing_mm: Sequence[float]) -> bool:
    """Tell whether a voxel is far longer or shorter than usual along some axis."""
    factors = [mm / usual for mm, usual in zip(spacing_mm, usual_mm, strict=True)]
    return max(factors) > UNLIKE or min(factors) < 1 / UNLIKE


@dataclass(frozen=True)
class _Seen:
    """A structure in one case."""

    patient_id: str
    structure: Structure


def _structures(site: SiteCases, surveyed: dict[str, SurveyedCase]) -> dict[str, StructureProfile]:
    found = {}
    for number, name in enumerate(site.study.classes, start=1):
        seen = [
            _Seen(case.patient_id, structure)
            for case in site.cases
            if (structure := surveyed[case.case_id].profile.structures.get(number)) is not None
        ]
        if seen:
            found[name] = _structure(seen)
    return found


def _structure(seen: Sequence[_Seen]) -> StructureProfile:
    structures = [one.structure for one in seen]
    return StructureProfile(
        patients=len({one.patient_id for one in seen}),
        volume_ml=median(one.volume_ml for one in structures),
        background_share=fmean(one.background_share for one in structures),
        offset=_by_axis(fmean, [one.offset for one in structures]),
        intensity=tuple(
            fmean(values) for values in zip(*(one.intensity for one in structures), strict=False)
        ),
    )


def _by_axis(figure: Callable[[Any], float], rows: Sequence[Sequence[float]]) -> Triple:
    """Apply a figure to each of three columns."""
    first, second, third = (float(figure(column)) for column in zip(*rows, strict=True))
    return first, second, third
