"""A site's cases: read once, split by patient, prepared on disk, served slice by slice."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from crisp_core.arrays import FloatArray
from crisp_core.errors import DataError
from crisp_core.files.cache import PreparedCase, prepared_case
from crisp_core.files.cohort import Case, read_cohorts
from crisp_core.files.preprocess import PrepareSettings
from crisp_core.files.splits import assign_splits
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import Split
from crisp_core.schema.study import Study


@dataclass(frozen=True)
class SiteCases:
    """Everything a site has for one study."""

    settings: SiteSettings
    study: Study
    cases: tuple[Case, ...]
    splits: dict[str, str]

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
    """Read the site's cohort and split it by patient; remembered within a process."""
    return _open_cases(settings, study.canonical())


@lru_cache(maxsize=64)
def _open_cases(settings: SiteSettings, canonical: str) -> SiteCases:
    study = Study.model_validate_json(canonical)
    cohort = read_cohorts(
        [Path(folder) for folder in settings.data], settings.site, len(study.classes)
    )
    splits = assign_splits(cohort, study.evaluation.validation_share, study.seed)
    return SiteCases(settings, study, cohort.cases, splits)


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
