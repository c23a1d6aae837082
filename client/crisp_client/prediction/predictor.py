"""A released model ready to answer: the network, and the way from its passes to an answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_client.device import Workbench
from crisp_client.inference import refine_case, restored
from crisp_client.prediction.answer import Answer
from crisp_client.prediction.inputs import Opened
from crisp_core.arrays import Parameters
from crisp_core.errors import DataError
from crisp_core.model.evidence import evidence_of
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import load_arrays
from crisp_core.model.refine import Refinement
from crisp_core.model.segmenter import Segmenter
from crisp_core.schema.released import ReleasedModel


@dataclass(frozen=True)
class TorchPredictor:
    """The model in torch, as it was measured."""

    model: ReleasedModel
    segmenter: Segmenter
    bench: Workbench

    @classmethod
    def of(cls, model: ReleasedModel, parameters: Parameters, bench: Workbench) -> TorchPredictor:
        """Build the network and load its weights.

        Raises:
            WeightsError: If the weights are not of the study's network.
        """
        segmenter = segmenter_of(model.study)
        load_arrays(segmenter, parameters)
        return cls(model, bench.placed(segmenter), bench)

    def answer(self, case: Opened) -> Answer:
        """Segment one image: the passes, the guard and the way back as where it was measured.

        The perturbations are keyed by the image itself: a file's name changes nothing.

        Raises:
            DataError: If the network answers with numbers that are not finite.
        """
        refined = self._refined(case)
        native = restored(refined.answer, case.placements, case.volume.grid)
        return Answer(
            labels=native.probabilities.argmax(axis=1).astype(np.uint8),
            probabilities=native.probabilities,
            core=native.core,
            support=native.support,
            recursions=len(refined.passes),
            chosen=refined.chosen + 1,
            changed=refined.passes[-1].changed,
            entropy=refined.answer.entropy,
            windows=len(case.placements),
            evidence=evidence_of(refined),
        )

    def _refined(self, case: Opened) -> Refinement:
        study, recursions = self.model.study, self.model.recursions
        try:
            return refine_case(
                self.segmenter, case.images, study, recursions, case.input_hash, self.bench
            )
        except ValueError as error:
            raise DataError(
                expected="finite numbers from the network",
                got=str(error).rstrip("."),
                where=f"case {case.name!r}",
                fix="Look at the image; if many fail, do not use this model",
            ) from None
