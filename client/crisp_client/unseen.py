"""A normalisation for a hospital that never trained, where those that did keep theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, takewhile

import torch

from crisp_client.cases import SiteCases, TrainingSlices, named, with_neighbours
from crisp_client.device import Workbench
from crisp_client.hints import CaseHints, as_hint, as_stored
from crisp_core.arrays import Parameters
from crisp_core.errors import WeightsError
from crisp_core.files.hint_store import StoredHints
from crisp_core.model.ensemble import ensemble_of
from crisp_core.model.from_study import hint_options_of
from crisp_core.model.hinting import KeyedNoise, make_hints
from crisp_core.model.normalisation import estimate_statistics
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.randomness import keyed_generator
from crisp_core.schema.beside import PERSONAL, beside
from crisp_core.schema.messages import EvaluatePlan


def served(
    site: SiteCases,
    segmenter: Segmenter,
    received: Parameters,
    plan: EvaluatePlan,
    bench: Workbench,
) -> Segmenter:
    """Return the network that measures this site's cases.

    A source, and every site of a study in which nothing stays at the sites, takes `segmenter` as
    it is.

    Raises:
        WeightsError: If the study asks for an ensemble and the sources' normalisations are absent.
    """
    study = site.study
    if study.federation.local_norm == "none" or study.sites[site.settings.site].role == "source":
        return segmenter
    if study.federation.unseen_norm == "adapt":
        adapt(site, segmenter, plan, bench)
    if study.federation.unseen_norm != "ensemble":
        return segmenter
    heads = list(takewhile(bool, (beside(received, f"{PERSONAL}{n}/") for n in count(1))))
    if not heads:
        raise WeightsError(
            expected="the normalisation of each source",
            got="none",
            where="a question to evaluate",
            fix="Ask the coordinator: the study serves held-out sites by an ensemble",
        )
    return ensemble_of(segmenter, heads)


def adapt(site: SiteCases, segmenter: Segmenter, plan: EvaluatePlan, bench: Workbench) -> None:
    """Let the network's BatchNorm measure the images of all this site's cases; no label is used.

    As in training, the inputs are every slice with the hints of a generation drawn from those so
    far: first without hints, then with those that the network, so adapted, makes itself.

    Args:
        site: The site.
        segmenter: Changed in place.
        plan: Says how many recursions follow.
        bench: Where to compute.
    """
    stored: list[list[StoredHints]] = []
    for generation in range(1, plan.recursions + 1):
        with bench.autocast():
            estimate_statistics(segmenter, _batches(site, stored, bench))
        if generation < plan.recursions:
            stored.append(_made(site, segmenter, stored[-1] if stored else None, bench))


def _batches(
    site: SiteCases, stored: Sequence[Sequence[StoredHints]], bench: Workbench
) -> Iterator[torch.Tensor]:
    """Yield every slice once, in batches as in training or a little larger."""
    study = site.study
    slices = TrainingSlices([site.prepared(case) for case in site.of("all")], study.model.slices_in)
    hints = CaseHints(study, stored)
    total, generations = len(slices.places), len(stored) + 1
    generator = keyed_generator(study.seed, site.settings.site, "adapt", generations)
    order = torch.randperm(total, generator=generator)
    drawn = torch.randint(generations, (total,), generator=generator) + 1
    for places in order.tensor_split(max(1, total // study.training.batch_size)):
        numbers: list[int] = places.tolist()
        images = slices.images(numbers)
        parts = [images]
        if study.crisp.hint != "none":
            space = (images.shape[2], images.shape[3])
            channels = [
                hints.of_slice(*slices.places[number], int(drawn[number]), space)
                for number in numbers
            ]
            parts.append(torch.stack(channels))
        yield torch.cat(parts, dim=1).to(bench.device)


def _made(
    site: SiteCases,
    segmenter: Segmenter,
    before: Sequence[StoredHints] | None,
    bench: Workbench,
) -> list[StoredHints]:
    """Make the next hints of every case."""
    options, made = hint_options_of(site.study), []
    for place, case in enumerate(site.of("all")):
        images = with_neighbours(site.prepared(case).images, site.study.model.slices_in)
        hint = as_hint(before[place], options) if before else None
        noise = KeyedNoise(site.study.seed, site.noise_key(case), 1)
        with named(case, "adapting the normalisation"), bench.autocast():
            made.append(as_stored(make_hints(segmenter, images, hint, options, noise), options))
    return made
