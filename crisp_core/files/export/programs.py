"""A released model traced into two programs: one pass, and the whole recursion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.export import Dim, ExportedProgram

from crisp_core.arrays import Parameters
from crisp_core.model.from_study import hint_options_of, segmenter_of
from crisp_core.model.graph import Answer, Recursion
from crisp_core.model.parameters import load_arrays
from crisp_core.numerics.randomness import keyed_generator
from crisp_core.schema.exported import RecursionInputs
from crisp_core.schema.released import ReleasedModel

TRACED_SLICES = 3
"""The programs take any number; a number that stands for all must be neither 0 nor 1."""
PARITY_SLICES = 5


@dataclass(frozen=True)
class Programs:
    """The network and what was traced from it."""

    recursion: Recursion
    inputs: RecursionInputs
    traced_pass: ExportedProgram
    traced_recursion: ExportedProgram

    def example(self, slices: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Make up images of smooth blobs, noise, and neighbours of one window."""
        shape, draw = self.inputs, keyed_generator("export", slices)
        coarse = torch.randn(slices, shape.channels, 4, 4, generator=draw)
        images = torch.nn.functional.interpolate(coarse, shape.size, mode="bilinear")
        noise = torch.randn(*_noise_shape(shape, slices), generator=draw)
        return images.clamp(-1, 1), noise, torch.ones(slices)

    def expected(self, slices: int) -> tuple[torch.Tensor, Answer]:
        """Return what the network itself answers to the example: one pass, and all."""
        example = self.example(slices)
        with torch.no_grad():
            return self.recursion.first(example[0]), self.recursion.answer(*example)


def programs_of(model: ReleasedModel, parameters: Parameters) -> Programs:
    """Build the network, load its weights and trace it.

    Raises:
        WeightsError: If the weights are not of the study's network.
    """
    study = model.study
    segmenter = segmenter_of(study)
    load_arrays(segmenter, parameters)
    recursion = Recursion(
        segmenter,
        study.model.channels * study.model.slices_in,
        hint_options_of(study),
        model.recursions,
        guarded=study.crisp.guard == "entropy",
    ).eval()
    inputs = _inputs(model, recursion)
    return Programs(recursion, inputs, *_traced(recursion, inputs))


def _inputs(model: ReleasedModel, recursion: Recursion) -> RecursionInputs:
    study, segmenter = model.study, recursion.first.segmenter
    channels = recursion.first.image_channels
    with torch.no_grad():
        images = torch.zeros(1, channels, *study.images.size)
        length = segmenter.noise_length(*segmenter.encode(recursion.first.with_hint(images, None)))
    return RecursionInputs(
        channels=channels,
        size=study.images.size,
        passes=model.recursions,
        perturbations=study.crisp.perturbations,
        noise_length=length,
        classes=len(study.classes) + 1,
    )


def _traced(
    recursion: Recursion, inputs: RecursionInputs
) -> tuple[ExportedProgram, ExportedProgram]:
    """Trace both with one slice count left open."""
    images = torch.zeros(TRACED_SLICES, inputs.channels, *inputs.size)
    noise = torch.zeros(*_noise_shape(inputs, TRACED_SLICES))
    neighbours = torch.ones(TRACED_SLICES)
    with torch.no_grad():
        one = torch.export.export(
            recursion.first, (images,), dynamic_shapes={"images": {0: Dim.DYNAMIC}}
        )
        whole = torch.export.export(
            recursion,
            (images, noise, neighbours),
            dynamic_shapes={
                "images": {0: Dim.DYNAMIC},
                "noise": {2: Dim.DYNAMIC},
                "neighbours": {0: Dim.DYNAMIC},
            },
        )
    return one, whole


def _noise_shape(inputs: RecursionInputs, slices: int) -> tuple[int, int, int, int]:
    return inputs.passes, inputs.perturbations, slices, inputs.noise_length
