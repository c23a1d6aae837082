"""A person's judgement of an answer: an object of its own, and a line in the site's ledger."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from crisp_client.prediction.folder import RECORD, read_record
from crisp_core.errors import DataError, UsageError
from crisp_core.files.atomic import write_text
from crisp_core.files.orientation import same_place
from crisp_core.files.volumes import LabelVolume, read_labels, write_labels
from crisp_core.numerics.metrics import dice
from crisp_core.schema.answer import AnswerRecord
from crisp_core.schema.feedback import Feedback, Verdict
from crisp_core.trust.ledger import Ledger

LABELS = ("labels.nii.gz", "anat/*_dseg.nii.gz")


@dataclass(frozen=True)
class Judgement:
    """What a person says, and the mask that came back with it.

    Attributes:
        verdict: What became of the answer.
        reason: In the person's words.
        edited: NIfTI, DICOM-SEG or RTSTRUCT; None where nothing was drawn.
        images: Folder of the series, which a DICOM mask is placed by.
    """

    verdict: Verdict
    reason: str
    edited: Path | None = None
    images: Path | None = None


def record_feedback(
    answer: Path, judgement: Judgement, ledger: Ledger, pseudonym_key: str
) -> Feedback:
    """Keep a judgement: `feedback-001.json` in the answer's folder, then a line in the ledger.

    The edited labels are kept beside it as NIfTI; the answer itself is not touched.

    Raises:
        UsageError: If verdict and mask do not go together.
        DataError: If the mask does not lie on the answer's grid.
        RunStateError: If `answer` holds no prediction, or something cannot be written.
    """
    _insist_on_mask(judgement)
    record = read_record(answer)
    number = 1 + len(list(answer.glob("feedback-*.json")))
    edited, found = _compared(answer, record, judgement)
    feedback = Feedback(
        number=number,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        pseudonym=hmac.new(pseudonym_key.encode(), record.case.encode(), "sha256").hexdigest()[:12],
        input_hash=record.input_hash,
        model_hash=record.model_hash,
        answer_hash=_digest(answer / RECORD),
        flag=record.flag.decision if record.flag else None,
        verdict=judgement.verdict,
        reason=judgement.reason,
        dice=found,
        edited_hash=_digest(judgement.edited) if judgement.edited else None,
    )
    stem = answer / f"feedback-{number:03d}"
    if edited is not None:
        write_labels(stem.with_suffix(".nii.gz"), edited.array, edited.grid)
    write_text(stem.with_suffix(".json"), feedback.model_dump_json(indent=1))
    ledger.append("feedback", **feedback.model_dump(mode="json"))
    return feedback


def _compared(
    answer: Path, record: AnswerRecord, judgement: Judgement
) -> tuple[LabelVolume | None, dict[str, float]]:
    """Read both masks and compare them, structure by structure."""
    if judgement.edited is None:
        return None, {}
    numbers = {name: index for index, name in enumerate(record.structures, start=1)}
    original = _original(answer, judgement, numbers)
    edited = _mask(judgement.edited, judgement, numbers)
    if not same_place(original.grid, edited.grid):
        raise DataError(
            expected=f"a mask on the answer's grid of {original.grid.shape}",
            got=f"another place or shape, {edited.grid.shape}",
            where=judgement.edited.name,
            fix="Export the mask on the grid of the image",
        )
    return edited, {
        name: dice(original.array == number, edited.array == number)
        for name, number in numbers.items()
    }


def _original(answer: Path, judgement: Judgement, numbers: dict[str, int]) -> LabelVolume:
    for pattern in LABELS:
        for path in answer.glob(pattern):
            return read_labels(path)
    return _mask(answer / "segmentation.dcm", judgement, numbers)


def _mask(path: Path, judgement: Judgement, numbers: dict[str, int]) -> LabelVolume:
    if path.name.endswith((".nii", ".nii.gz")):
        return read_labels(path)
    if judgement.images is None:
        raise UsageError(
            expected="the series that the mask lies on",
            got="nothing",
            where="--images",
            fix="Name the folder of the DICOM images",
        )
    from crisp_core.files.dicom.masks import read_mask  # noqa: PLC0415 - an extra
    from crisp_core.files.dicom.series import read_series  # noqa: PLC0415 - likewise

    return read_mask(path, read_series(judgement.images), numbers)


def _insist_on_mask(judgement: Judgement) -> None:
    if (judgement.verdict == "edit") != (judgement.edited is not None):
        needed = "a mask" if judgement.verdict == "edit" else "no mask"
        raise UsageError(
            expected=f"{needed} with the verdict {judgement.verdict!r}",
            got="none" if judgement.edited is None else judgement.edited.name,
            where="--edited",
            fix="Give the edited mask with `edit`, and only there",
        )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            expected="a file that can be read",
            got=error.strerror or "an error of the disk",
            where=path.name,
            fix="Name the file that came back",
        ) from None
