"""What a site keeps for itself between the rounds of a study, and what of it leaves after all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.errors import DivergedError, OwnArraysMissingError, RunStateError
from crisp_core.files.checkpoint import content_hash, read_parameters, write_parameters
from crisp_core.schema.messages import TrainPlan
from crisp_core.schema.own import OwnKey, own_key
from crisp_core.schema.study import Study

ROUND = re.compile(r"^round-(\d+)-")


class OwnArrays:
    """Arrays of one study in a site's own folder, each file named by round and model."""

    def __init__(self, work: Path, study: Study) -> None:
        self._folder, self._study = work / "own" / study.hash(), study

    def read(self, key: OwnKey) -> dict[str, AnyArray]:
        """Return what was kept under this name; nothing under the empty one.

        Raises:
            OwnArraysMissingError: If it is not here, or the file is damaged. Nothing else can take
                its place: what comes from the coordinator is another hospital's, or nobody's.
        """
        if not key:
            return {}
        try:
            arrays, note = read_parameters(self._path(key))
        except RunStateError:
            raise _missing(key, "none that can be read") from None
        if content_hash(arrays) != note.get("content"):
            raise _missing(key, "a damaged file")
        return arrays

    def keep(self, plan: TrainPlan, sent: Parameters, arrays: Parameters) -> None:
        """Write what a round has made; what no step can ask for any more is removed.

        Args:
            plan: Of the round.
            sent: The model that came with it.
            arrays: What is kept.

        Raises:
            DivergedError: If a number is not finite.
            RunStateError: If the folder cannot be written.
        """
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise _diverged(name)
        key = own_key(plan.round_number, content_hash(sent))
        write_parameters(self._path(key), arrays, {"content": content_hash(arrays)})
        for path in self._superseded(plan):
            path.unlink(missing_ok=True)

    def _superseded(self, plan: TrainPlan) -> Iterator[Path]:
        """Yield what this plan has gone past; earlier generations' normalisations are kept."""
        found, federation = ROUND.match(plan.own), self._study.federation
        measured = federation.local_norm != "none"  # an earlier model, with its normalisation
        first = (plan.generation - 1) * federation.rounds + 1 if measured else 1
        for path in self._folder.iterdir() if found else ():
            name = ROUND.match(path.name)
            if found and name and first <= int(name[1]) < int(found[1]):
                yield path

    def _path(self, key: OwnKey) -> Path:
        return self._folder / f"{key}.safetensors"


def ends_generation(study: Study, plan: TrainPlan) -> bool:
    """Tell whether a plan's round is the last of its generation."""
    return plan.round_number % study.federation.rounds == 0


def staying(study: Study, plan: TrainPlan, local: frozenset[str], learned: set[str]) -> set[str]:
    """Return which arrays of the network leave as they came, because they are the site's own.

    All of them, until the last round of a generation: then the held-out sites need a normalisation.
    Under "adapt" each measures its own statistics, so those of the sources never leave.

    Args:
        study: Says what a held-out site takes.
        plan: Of the round.
        local: Names of what is the site's own.
        learned: Names of the network's trained arrays.
    """
    if not ends_generation(study, plan):
        return set(local)
    return set(local) - learned if study.federation.unseen_norm == "adapt" else set()


def _missing(key: OwnKey, got: str) -> OwnArraysMissingError:
    return OwnArraysMissingError(
        expected=f"what this site kept after {key[:24]}…",
        got=got,
        where="the folder `own` in the site's work folder",
        fix="Restore it from a backup; without it this study must be started anew",
    )


def _diverged(name: str) -> DivergedError:
    return DivergedError(
        expected="finite numbers",
        got="nan or infinity",
        where=f"the site's own array {name!r}",
        fix="Lower training.learning_rate, or look for a broken case with crisp-client check",
    )
