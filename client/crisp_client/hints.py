"""A site's hints: made here with the federation's model, kept here, never sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch

from crisp_client.cases import SiteCases, named, with_neighbours
from crisp_client.device import Workbench
from crisp_core.arrays import IntArray
from crisp_core.files.cohort import Case
from crisp_core.files.hint_store import HintStore, StoredHints
from crisp_core.model.from_study import hint_options_of
from crisp_core.model.hinting import HintOptions, Hints, KeyedNoise, make_hints
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.agreement import changed_share, coverage, mask_agreement
from crisp_core.numerics.hints import binary_hint, null_hint, rank_hint, uncertainty_region
from crisp_core.schema.messages import HintFigures
from crisp_core.schema.study import Study


def store_of(site: SiteCases) -> HintStore:
    """The site's hints of this study."""
    return HintStore(site.work / "hints" / site.study.hash()[:16])


def regenerate(
    site: SiteCases, segmenter: Segmenter, models: Sequence[str], bench: Workbench
) -> HintFigures:
    """Make H(k) of every training case with M(k - 1) and store it.

    Args:
        site: The site.
        segmenter: M(k - 1).
        models: Content hashes of M(1) … M(k - 1).
        bench: Where to compute.

    Raises:
        DataError: If the network gives numbers that are not finite, naming the case.
        HintsMissingError: If H(k - 1) made by M(k - 2) is not here.
    """
    began = time.monotonic()
    rows = [_regenerate_case(site, case, segmenter, models, bench) for case in site.of("train")]
    return _summary(rows, time.monotonic() - began)


def _regenerate_case(
    site: SiteCases, case: Case, segmenter: Segmenter, models: Sequence[str], bench: Workbench
) -> dict[str, float | None]:
    store, generation = store_of(site), len(models) + 1
    prepared, options = site.prepared(case), hint_options_of(site.study)
    images = with_neighbours(prepared.images, site.study.model.slices_in)
    previous = store.read(case.case_id, generation - 1, models[-2]) if len(models) > 1 else None
    hint = as_hint(previous, options) if previous else None
    noise = KeyedNoise(site.study.seed, site.noise_key(case), generation)
    with named(case, f"hints of generation {generation}"), bench.autocast():
        made = make_hints(segmenter, images, hint, options, noise)
    stored = as_stored(made, options)
    store.write(case.case_id, generation, stored, models[-1])
    return _figures(made, stored, previous, torch.tensor(prepared.labels))


def as_hint(stored: StoredHints, options: HintOptions) -> torch.Tensor:
    """Turn stored hints of a case into input channels, float32 (D, 2C, H, W)."""
    core = torch.from_numpy(stored.core)
    if options.form == "binary":
        return binary_hint(core, torch.from_numpy(stored.support))
    return rank_hint(_ranks(stored), core, options.neighbours)


def _ranks(stored: StoredHints) -> torch.Tensor:
    sums = torch.from_numpy(stored.grade_sums.astype(np.float32))
    return sums / (stored.count * (stored.levels - 1))


class CaseHints:
    """H(1) … H(k) of some cases in memory, as stored; one slice at a time as channels."""

    def __init__(self, study: Study, stored: Sequence[Sequence[StoredHints]]) -> None:
        """Take H(2), H(3), …, each of every case."""
        self._options, self._classes = hint_options_of(study), len(study.classes)
        self._stored = stored

    def of_slice(
        self, case: int, place: int, generation: int, space: tuple[int, int]
    ) -> torch.Tensor:
        """Return H(generation) of one slice, float32 (2C, H, W)."""
        if generation == 1:
            return null_hint(1, self._classes, space)[0]
        stored = self._stored[generation - 2][case]
        low, high = max(place - 1, 0), place + 2
        window = replace(
            stored,
            core=stored.core[low:high],
            support=stored.support[low:high],
            grade_sums=stored.grade_sums[low:high],
        )
        return as_hint(window, self._options)[place - low]


class TrainingHints(CaseHints):
    """Hints of the training cases, read from the site's folder."""

    def __init__(self, site: SiteCases, models: Sequence[str]) -> None:
        """Read every generation of hints, each made by its model; `models` is M(1) … M(k - 1)."""
        store = store_of(site)
        stored = [
            [store.read(case.case_id, made, model) for case in site.of("train")]
            for made, model in enumerate(models, start=2)
        ]
        super().__init__(site.study, stored)


def as_stored(made: Hints, options: HintOptions) -> StoredHints:
    """Turn new hints of a case into what is kept of them."""
    return StoredHints(
        core=made.core.cpu().numpy(),
        support=made.support.cpu().numpy(),
        grade_sums=made.grade_sums.cpu().numpy(),
        count=options.perturbations,
        levels=options.levels,
        labels=made.labels.cpu().numpy().astype(np.uint8),
    )


def _figures(
    made: Hints, stored: StoredHints, previous: StoredHints | None, reference: torch.Tensor
) -> dict[str, float | None]:
    masks = [reference == number + 1 for number in range(made.core.shape[1])]
    core = [mask_agreement(made.core[:, c].cpu(), mask) for c, mask in enumerate(masks)]
    support = [mask_agreement(made.support[:, c].cpu(), mask) for c, mask in enumerate(masks)]
    return {
        "core_precision": _mean(precision for precision, _ in core),
        "core_recall": _mean(recall for _, recall in core),
        "support_precision": _mean(precision for precision, _ in support),
        "support_recall": _mean(recall for _, recall in support),
        "support_coverage": coverage(made.support.any(dim=1)),
        "uncertain": coverage(uncertainty_region(made.core, made.support)),
        "changed": _changed(stored.grade_sums, previous.grade_sums if previous else None),
        "pixels_changed": _changed(stored.labels, previous.labels if previous else None),
    }


def _changed(now: IntArray, before: IntArray | None) -> float | None:
    if before is None:
        return None
    return changed_share(torch.from_numpy(before), torch.from_numpy(now))


def _summary(rows: list[dict[str, float | None]], seconds: float) -> HintFigures:
    means = {name: _mean(row[name] for row in rows) for name in rows[0]}
    return HintFigures.model_validate({"case_count": len(rows), "seconds": seconds, **means})


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
