"""From sources to folders: the next image is read while the network looks at this one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from crisp_client.prediction.answer import structures_of, with_largest_component
from crisp_client.prediction.folder import is_answered, read_record, write_record
from crisp_client.prediction.formats import check_formats, write_format
from crisp_client.prediction.inputs import Opened, Source, opened
from crisp_client.prediction.log import PredictionLog
from crisp_client.prediction.protocol import Predictor
from crisp_client.prediction.result import Result
from crisp_core.errors import CrispError, UsageError
from crisp_core.files.bids import subject_of, write_dataset
from crisp_core.files.staging import staged_folder
from crisp_core.model.risk import flag_of
from crisp_core.schema.answer import AnswerRecord, DicomSource, Format
from crisp_core.schema.released import ReleasedModel

PACKAGES = ("crisp-fl", "torch", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Options:
    """What is asked for beside the labels themselves.

    Attributes:
        formats: What to write, in this order.
        largest_component: Structures of which one connected part is kept.
        labelmap: One map of labels in the DICOM segmentation, which fewer viewers can read.
    """

    formats: tuple[Format, ...] = ("nifti",)
    largest_component: tuple[str, ...] = ()
    labelmap: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one source: a folder, or the sentence why there is none."""

    source: Source
    place: Path
    record: AnswerRecord | None = None
    error: CrispError | None = None
    made_now: bool = False


def predict(
    predictor: Predictor,
    sources: Sequence[Source],
    out: Path,
    options: Options,
    log: PredictionLog | None = None,
) -> Iterator[Outcome]:
    """Answer every source in turn; one that fails does not keep the others from theirs.

    Args:
        predictor: Answers.
        sources: What to answer.
        out: Gets one folder a source.
        options: What to write.
        log: Keeps a line of every answer that is made; None: nothing does.

    Raises:
        UsageError: If an option does not fit the model.
    """
    _insist_on_classes(options.largest_component, predictor.model)
    check_formats(options.formats)
    for source, future in _opened_ahead(sources, predictor.model):
        place = out / place_name(source.name, options.formats)
        try:
            case, began = future.result(), time.monotonic()
            outcome = _outcome(predictor, source, case, place, options)
            if log is not None and outcome.record is not None and outcome.made_now:
                log.note(case, outcome.record, time.monotonic() - began)
            yield outcome
        except CrispError as error:
            yield Outcome(source, place, error=error)


def place_name(case: str, formats: Sequence[Format]) -> str:
    """Name the folder of a case; with BIDS among the formats it is that of a subject.

    Examples:
        >>> place_name("case_01", ["bids", "pdf"])
        'sub-case01'
    """
    return f"sub-{subject_of(case)}" if "bids" in formats else case


def _opened_ahead(
    sources: Sequence[Source], model: ReleasedModel
) -> Iterator[tuple[Source, Future[Opened]]]:
    """Open one source ahead of the one that is asked for: two images at most are in memory."""
    with ThreadPoolExecutor(1, "open") as pool:
        waiting = [pool.submit(opened, source, model.study) for source in sources[:1]]
        for number, source in enumerate(sources):
            following = sources[number + 1 : number + 2]
            waiting += [pool.submit(opened, one, model.study) for one in following]
            yield source, waiting.pop(0)


def _outcome(
    predictor: Predictor, source: Source, case: Opened, place: Path, options: Options
) -> Outcome:
    began = time.monotonic()
    request = _request(case, predictor.model, options)
    if is_answered(place, request):
        return Outcome(source, place, read_record(place))
    answer, rule = predictor.answer(case), predictor.model.risk
    classes = predictor.model.study.classes
    answer = with_largest_component(answer, [classes.index(n) for n in options.largest_component])
    record = request.model_copy(
        update={
            "structures": structures_of(answer, classes, case.volume.grid),
            "recursions": answer.recursions,
            "chosen": answer.chosen,
            "changed": answer.changed,
            "entropy": answer.entropy,
            "uncertain": answer.uncertain,
            "evidence": answer.evidence,
            "flag": flag_of(rule, answer.evidence) if rule else None,
            "seconds": time.monotonic() - began,
        }
    )
    with staged_folder(place) as folder:
        for name in options.formats:
            write_format(name, folder, Result(case, answer, predictor.model, record))
        record = write_record(folder, record)
    if "bids" in options.formats:
        write_dataset(place.parent, record.versions["crisp-fl"])
    return Outcome(source, place, record, made_now=True)


def _request(case: Opened, model: ReleasedModel, options: Options) -> AnswerRecord:
    """Write down what is asked; the figures of the answer are still blank."""
    return AnswerRecord(
        case=case.name,
        input_hash=case.input_hash,
        study_hash=model.study_hash,
        model_hash=model.model_hash,
        source=_source_of(case),
        structures={},
        spacing_mm=case.volume.grid.spacing_mm,
        windows=len(case.placements),
        recursions=model.recursions,
        chosen=1,
        entropy=0.0,
        uncertain=0.0,
        largest_component=options.largest_component,
        formats=options.formats,
        labelmap=options.labelmap,
        versions=dict(_versions()),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
    )


def _versions() -> Iterator[tuple[str, str]]:
    """Name what is installed: torch may be absent where an exported model answers."""
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            yield name, version(name)


def _source_of(case: Opened) -> DicomSource | None:
    if case.series is None:
        return None
    facts = case.series.facts
    return DicomSource(
        series_uid=facts.series_uid,
        study_uid=facts.study_uid,
        phase=facts.phase,
        instances=len(set(facts.instance_uids)),
    )


def _insist_on_classes(names: Sequence[str], model: ReleasedModel) -> None:
    for name in names:
        if name not in model.study.classes:
            raise UsageError(
                expected=f"one of the model's structures: {', '.join(model.study.classes)}",
                got=repr(name),
                where="--largest-component",
                fix="Correct the name, or take `all`",
            )
