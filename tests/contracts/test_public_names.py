"""Names that code outside this project calls: they stay, with these parameters in this order."""

from __future__ import annotations

import importlib
import inspect

import pytest

SIGNATURES = {
    "crisp_core.numerics.grades.log_odds": ["logits"],
    "crisp_core.numerics.grades.grade_map": [
        "logits",
        "levels=5",
        "range_over='class_fg'",
        "instance='slice'",
        "log_odds_clip=None",
    ],
    "crisp_core.numerics.hints.core_and_support": [
        "logits",
        "levels=5",
        "range_over",
        "instance",
        "log_odds_clip=None",
    ],
    "crisp_core.numerics.hints.rank_map": ["logits", "levels=5", "range_over", "instance"],
    "crisp_core.numerics.hints.uncertainty_region": ["core", "support"],
    "crisp_core.numerics.squeeze.squeeze_loss": [
        "clean",
        "perturbed",
        "region",
        "norm='mean_square'",
    ],
    "crisp_core.numerics.metrics.dice": ["prediction", "reference"],
    "crisp_core.numerics.metrics.hd95": ["prediction", "reference", "spacing_mm", "definition"],
    "crisp_core.model.build.build_segmenter": [],
    "crisp_core.model.refine.refine": ["segmenter", "image", "generations"],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_public_name_keeps_its_parameters(name: str) -> None:
    """`word` asks for the parameter's name, `word=value` for its default too."""
    module, _, function = name.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), function))

    found = list(signature.parameters.values())[: len(SIGNATURES[name])]

    for parameter, expected in zip(found, SIGNATURES[name], strict=True):
        word, _, default = expected.partition("=")
        assert parameter.name == word
        assert not default or repr(parameter.default) == default


def test_a_segmenter_encodes_and_decodes() -> None:
    segmenter = importlib.import_module("crisp_core.model.segmenter").Segmenter

    assert callable(segmenter.encode)
    assert callable(segmenter.decode)
