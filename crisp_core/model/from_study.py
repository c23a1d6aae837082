"""The network and the hint options that a study asks for."""

from __future__ import annotations

from pathlib import Path

from crisp_core.model.build import build_segmenter
from crisp_core.model.hinting import HintOptions
from crisp_core.model.segmenter import Segmenter
from crisp_core.schema.study import Study


def segmenter_of(study: Study) -> Segmenter:
    """Build the study's network; the same study gives the same initial bytes."""
    model = study.model
    image_channels = model.channels * model.slices_in
    return build_segmenter(
        model.architecture,
        image_channels=image_channels,
        hint_channels=study.input_channels - image_channels,
        class_count=len(study.classes),
        encoder=model.encoder,
        encoder_weights=Path(model.encoder_weights) if model.encoder_weights else None,
        width=model.width,
        norm=model.norm,
        noise_at=model.noise_at,
        seed=study.seed,
    )


def hint_options_of(study: Study) -> HintOptions:
    """Unpack the study's hint settings; a study without hints measures with binary ones."""
    crisp = study.crisp
    return HintOptions(
        form="rank" if crisp.hint == "rank" else "binary",
        neighbours=crisp.neighbours,
        perturbations=crisp.perturbations,
        sigma=crisp.sigma,
        levels=crisp.levels,
        range_over=crisp.range_over,
        instance=crisp.instance,
        log_odds_clip=crisp.log_odds_clip,
    )
