"""A site's cases: read once, split by patient, prepared on disk, served slice by slice."""

from __future__ import annotations

import hashlib
import hmac
import json
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from crisp_core.arrays import FloatArray
from crisp_core.errors import DataError
from crisp_core.files.atomic import write_text
from crisp_core.files.cache import PreparedCase, prepared_case
from crisp_core.files.cohort import Case
from crisp_core.files.examine import open_image
from crisp_core.files.layouts.reading import read_places
from crisp_core.files.preprocess import PrepareSettings
from crisp_core.files.splits import assign_splits
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import Split
from crisp_core.schema.study import Study

FILES_OF_A_CASE = 2
OTHER_FILES = 1000


@dataclass(frozen=True)
class SiteCases:
    """Everything a site has for one study."""

    settings: SiteSettings
    study: Study
    cases: tuple[Case, ...]
    splits: dict[str, str]
    left_out: tuple[str, ...] = ()
    """Names of the cases that cannot be used."""

    @property
    def work(self) -> Path:
        """Where this site may write."""
        return Path(self.settings.work)

    def of(self, split: Split) -> tuple[Case, ...]:
        """Cases of a split, in the order of their names."""
        if split == "all":
            return self.cases
        return tuple(case for case in self.cases if self.splits[case.case_id] == split)

    def prepared(self, case: Case) -> PreparedCase:
        """The case on the study's grid, from the cache or made now.

        Raises:
            DataError: If the case cannot be used, or has other channels than the study's images.
        """
        images = self.study.images
        settings = PrepareSettings(
            size=images.size,
            fit=images.fit,
            spacing_mm=images.spacing_mm,
            percentiles=images.percentiles,
        )
        prepared = prepared_case(
            case,
            site=self.settings.site,
            settings=settings,
            folder=Path(self.settings.cache) if self.settings.cache else self.work / "cache",
            class_count=len(self.study.classes),
        )
        _insist_on_channels(case, prepared.images.shape[1], self.study.model.channels)
        return prepared

    def noise_key(self, case: Case) -> str:
        """What a case's perturbations are keyed by."""
        return f"{self.settings.site}/{case.case_id}"

    def pseudonym(self, name: str) -> str:
        """A name that only this site can resolve."""
        key = self.settings.pseudonym_key.encode()
        return hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:12]


def open_cases(settings: SiteSettings, study: Study) -> SiteCases:
    """Read the site's cohort and split it by patient; remembered within a process.

    Where the site allows a share of unreadable cases they are looked for once, when the study
    begins; every later message sees the same cases, whatever then becomes of a file.

    Raises:
        DataError: If a folder is not what it should be, or more cases are unreadable than
            `unreadable_share` allows.
    """
    return _open_cases(settings, study.canonical())


def forget_cases() -> None:
    """Read every folder anew when it is next asked for."""
    _open_cases.cache_clear()


@lru_cache(maxsize=64)
def _open_cases(settings: SiteSettings, canonical: str) -> SiteCases:
    study = Study.model_validate_json(canonical)
    cohort = read_places(
        settings.places, settings.site, study.classes, follow_links=settings.follow_links
    )
    _allow_open_files(FILES_OF_A_CASE * len(cohort.cases) + OTHER_FILES)
    left_out = _left_out(SiteCases(settings, study, cohort.cases, {}))
    usable = tuple(case for case in cohort.cases if case.case_id not in left_out)
    splits = assign_splits(
        replace(cohort, cases=usable), study.evaluation.validation_share, study.seed
    )
    return SiteCases(settings, study, usable, splits, left_out)


def _allow_open_files(count: int) -> None:
    """Let this process hold that many files open: a prepared case stays mapped from two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class LeftOut(Frozen):
    """Which cases of a folder a study goes without; it names them, so it stays at the site."""

    folder: str
    """Fingerprint of the cases that were looked at."""
    cases: tuple[str, ...]


def _left_out(site: SiteCases) -> tuple[str, ...]:
    """Name the cases that cannot be used: as decided before, or after opening every one."""
    if site.settings.unreadable_share == 0:
        return ()
    path = site.work / "left-out" / f"{site.study.hash()}.json"
    folder = _fingerprint(site.cases)
    known = _decided(path)
    if known is not None and known.folder == folder:
        return known.cases
    unreadable = tuple(case.case_id for case in site.cases if not _is_usable(site, case))
    _insist_on_few(site, len(unreadable))
    write_text(path, LeftOut(folder=folder, cases=unreadable).model_dump_json())
    return unreadable


def _fingerprint(cases: Sequence[Case]) -> str:
    """Hash every case's name, patient and files; what the files hold may change."""
    names = [[c.case_id, c.patient_id, *map(str, (*c.images, c.label))] for c in cases]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _decided(path: Path) -> LeftOut | None:
    try:
        return LeftOut.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _is_usable(site: SiteCases, case: Case) -> bool:
    try:
        if site.study.sealed(site.settings.site):
            open_image(case)
        else:
            site.prepared(case)
    except DataError:
        return False
    return True


def _insist_on_few(site: SiteCases, count: int) -> None:
    allowed = site.settings.unreadable_share
    if count > allowed * len(site.cases):
        raise DataError(
            expected=f"at most {allowed:.1%} of the cases unreadable",
            got=f"{count:,} of {len(site.cases):,}",
            where=f"site {site.settings.site!r}",
            fix="Mend what `crisp-client check` names, or raise unreadable_share in site.toml",
        )


def _insist_on_channels(case: Case, channels: int, expected: int) -> None:
    if channels != expected:
        raise DataError(
            expected=f"images of model.channels = {expected}",
            got=f"{channels} (the fourth axis, or the files of the case)",
            where=f"case {case.case_id!r}",
            fix="Correct model.channels in the study; a cine needs one file a phase",
        )


@contextmanager
def named(case: Case, doing: str) -> Iterator[None]:
    """Turn the mathematics' refusal of numbers into an error that names the case.

    Raises:
        DataError: If the block raises ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise DataError(
            expected="finite numbers from the network",
            got=str(error).rstrip("."),
            where=f"case {case.case_id!r}, {doing}",
            fix="Look at the case; if many fail, lower training.learning_rate",
        ) from None


def with_neighbours(images: FloatArray, slices_in: int) -> torch.Tensor:
    """Stack each slice with its neighbours as channels; the ends repeat the last slice.

    Args:
        images: One volume, (D, C, H, W).
        slices_in: Odd number of slices that enter the network together.

    Returns:
        float32 (D, C * slices_in, H, W), from the lowest neighbour to the highest.
    """
    reach = slices_in // 2
    places = np.arange(len(images))
    parts = [
        np.asarray(images[np.clip(places + offset, 0, len(images) - 1)])
        for offset in range(-reach, reach + 1)
    ]
    return torch.from_numpy(np.concatenate(parts, axis=1))


class TrainingSlices:
    """Every slice of the training cases, addressed by one number."""

    def __init__(self, cases: Sequence[PreparedCase], slices_in: int) -> None:
        self._cases, self._reach = cases, slices_in // 2
        self.places = [
            (case, slice_index)
            for case, prepared in enumerate(cases)
            for slice_index in range(len(prepared.labels))
        ]

    def images(self, numbers: Sequence[int]) -> torch.Tensor:
        """Return float32 (B, C * slices_in, H, W)."""
        return torch.from_numpy(np.stack([self._stack(*self.places[n]) for n in numbers]))

    def labels(self, numbers: Sequence[int]) -> torch.Tensor:
        """Return int64 (B, H, W)."""
        picked = [self._cases[case].labels[place] for case, place in self._at(numbers)]
        return torch.from_numpy(np.stack(picked).astype(np.int64))

    def _at(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        return [self.places[number] for number in numbers]

    def _stack(self, case: int, place: int) -> FloatArray:
        images = self._cases[case].images
        window = range(place - self._reach, place + self._reach + 1)
        rows = [images[min(max(i, 0), len(images) - 1)] for i in window]
        return np.concatenate(rows, axis=0)
