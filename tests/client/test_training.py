from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from site_samples import east

from crisp_client.cases import SiteCases, open_cases
from crisp_client.device import workbench_of
from crisp_client.hints import TrainingHints, regenerate, store_of
from crisp_client.training import BatchSource, train_round
from crisp_core.errors import DivergedError, HintsMissingError
from crisp_core.files.checkpoint import content_hash
from crisp_core.model.from_study import hint_options_of, segmenter_of
from crisp_core.model.parameters import to_arrays
from crisp_core.numerics.hints import rank_hint
from crisp_core.numerics.randomness import keyed_generator
from crisp_core.schema.messages import TrainPlan

MODEL = "m1"


def site_with_hints(folder: Path, **sections) -> SiteCases:
    settings, study = east(folder, **sections)
    site = open_cases(settings, study)
    regenerate(site, segmenter_of(study), [MODEL], workbench_of(settings))
    return site


def plan(generation: int, steps: int = 2) -> TrainPlan:
    models = (MODEL,) * (generation - 1)
    return TrainPlan(
        generation=generation, round_number=1, first_step=0, steps=steps, models=models
    )


def test_a_rank_hint_of_one_slice_is_that_of_the_whole_volume(tmp_path: Path) -> None:
    site = site_with_hints(tmp_path)
    case = site.of("train")[0]
    stored = store_of(site).read(case.case_id, 2, MODEL)
    sums = torch.from_numpy(stored.grade_sums.astype(np.float32))
    whole = rank_hint(sums / (stored.count * (stored.levels - 1)), torch.empty(0), 1)

    hints = TrainingHints(site, [MODEL])

    for place in range(len(sums)):
        assert torch.equal(hints.of_slice(0, place, 2, (16, 16)), whole[place])


def test_the_first_generation_sees_an_empty_core_and_a_full_support(tmp_path: Path) -> None:
    settings, study = east(tmp_path)

    hint = TrainingHints(open_cases(settings, study), []).of_slice(0, 0, 1, (16, 16))

    assert hint[:2].eq(0).all()
    assert hint[2:].eq(1).all()


def test_training_on_hints_of_another_model_is_refused(tmp_path: Path) -> None:
    site = site_with_hints(tmp_path)

    with pytest.raises(HintsMissingError):
        TrainingHints(site, ["another model"])


def test_samples_draw_every_generation_and_every_slice_alike(tmp_path: Path) -> None:
    site = site_with_hints(
        tmp_path,
        training={"augmentation": "none", "batch_size": 400},
        crisp={"generations": 2, "perturbations": 3},
    )
    source = BatchSource(site, plan(2), keyed_generator("draws"))

    batch = source.batch(torch.device("cpu"))

    null = batch.inputs[:, 3:].eq(1).flatten(1).all(1)  # the support channels of the null hint
    assert 150 < int(null.sum()) < 250  # half of 400, five standard deviations
    seen = Counter(image.sum().item() for image in batch.inputs[:, 0])
    assert len(seen) == len(site.of("train")) * 4


def test_the_squeeze_acts_between_core_and_support_of_a_binary_hint(tmp_path: Path) -> None:
    site = site_with_hints(
        tmp_path,
        training={"augmentation": "none", "batch_size": 64},
        crisp={"generations": 2, "perturbations": 3, "hint": "binary"},
    )

    batch = BatchSource(site, plan(2), keyed_generator("draws")).batch(torch.device("cpu"))

    core, support = batch.inputs[:, 1:3].bool(), batch.inputs[:, 3:].bool()
    assert torch.equal(batch.region, (support & ~core).any(dim=1, keepdim=True))


def test_geometry_moves_image_hint_and_label_together(tmp_path: Path) -> None:
    site = site_with_hints(
        tmp_path,
        training={"batch_size": 32},
        crisp={"generations": 2, "perturbations": 3, "hint": "binary"},
    )
    source = BatchSource(site, plan(2), keyed_generator("draws"))
    images = torch.zeros(32, 1, 16, 16)
    images[:, :, 5:9, 7:11] = 1
    hints = images.repeat(1, 4, 1, 1)

    _, moved_hints, labels = source._augmented(images, hints, images[:, 0].long())  # noqa: SLF001 - the law of one draw is checked where it is made

    apart = (moved_hints[:, 0] > 0.5) != (labels == 1)
    assert apart.float().mean() < 0.02  # bilinear against nearest at the rim of a 4x4 square


@pytest.mark.parametrize("preset", ["frequency-style", "full"])
def test_a_style_preset_changes_images_and_neither_hints_nor_labels(
    tmp_path: Path, preset: str
) -> None:
    def drawn(augmentation: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        site = site_with_hints(tmp_path, training={"augmentation": augmentation, "batch_size": 8})
        source = BatchSource(site, plan(2), keyed_generator("draws"))
        images = source._slices.images(range(8))  # noqa: SLF001 - one draw, where it is made
        hints = torch.rand(8, 4, 16, 16, generator=keyed_generator("hints"))
        return source._augmented(images, hints, images[:, 0] > 0)  # noqa: SLF001 - likewise

    styled, plain = drawn(preset), drawn("conventional")

    assert not torch.allclose(styled[0], plain[0], atol=0.05)
    assert torch.equal(styled[1], plain[1])
    assert torch.equal(styled[2], plain[2])


def test_training_moves_the_weights_and_repeats_itself_to_the_bit(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    site, bench = open_cases(settings, study), workbench_of(settings)

    def trained() -> str:
        segmenter = segmenter_of(study)
        train_round(site, segmenter, plan(1), bench)
        return content_hash(to_arrays(segmenter))

    assert trained() == trained() != content_hash(to_arrays(segmenter_of(study)))


def test_a_proximal_term_keeps_a_site_near_the_model_it_was_sent(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    sent = to_arrays(segmenter_of(study))

    def distance(proximal: float) -> float:
        chosen = study.model_copy(
            update={"training": study.training.model_copy(update={"proximal": proximal})}
        )
        segmenter = segmenter_of(chosen)
        train_round(open_cases(settings, chosen), segmenter, plan(1, 8), workbench_of(settings))
        moved = to_arrays(segmenter)
        return sum(float(np.square(moved[name] - sent[name]).sum()) for name in sent)

    assert distance(100.0) < 0.5 * distance(0.0)


def test_a_loss_that_is_not_finite_stops_the_round(tmp_path: Path) -> None:
    settings, study = east(tmp_path, training={"learning_rate": 1e30, "steps": 50})
    site = open_cases(settings, study)

    with pytest.raises(DivergedError, match="learning_rate"):
        train_round(site, segmenter_of(study), plan(1, steps=50), workbench_of(settings))


def test_hint_figures_compare_with_the_generation_before(tmp_path: Path) -> None:
    site = site_with_hints(tmp_path)
    bench, same = workbench_of(site.settings), segmenter_of(site.study)

    again = regenerate(site, same, [MODEL, "m2"], bench)

    assert again.changed is not None
    assert 0 <= again.changed <= 1
    assert again.pixels_changed is not None
    assert hint_options_of(site.study).perturbations == 3
