"""Commands of a model at work: predict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told
from crisp_core.errors import CrispError, DataError, UsageError
from crisp_core.schema.answer import Format

if TYPE_CHECKING:
    from crisp_client.home import SiteHome
    from crisp_client.prediction.inputs import Source
    from crisp_client.prediction.log import PredictionLog
    from crisp_client.prediction.protocol import Predictor
    from crisp_client.prediction.run import Options, Outcome
    from crisp_core.schema.released import ReleasedModel

EVERY = "all"
PacsOption = Annotated[
    str | None, typer.Option("--pacs", help="INPUT is a study's UID in this PACS of pacs.toml.")
]
SendOption = Annotated[
    str | None, typer.Option("--send-to", help="Store the DICOM results in this PACS.")
]


@app.command()
def predict(
    model: Annotated[
        Path, typer.Argument(help="A run's folder, its weights, or an exported folder.")
    ],
    image: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A NIfTI file, a folder, or a DICOM series.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Gets one folder a case.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help=f"Any of: {', '.join(get_args(Format))}. Several allowed."),
    ] = None,
    largest_component: Annotated[
        list[str] | None,
        typer.Option(help="Keep the largest connected part of this structure; or `all`."),
    ] = None,
    series: Annotated[str | None, typer.Option(help="UID of the DICOM series to take.")] = None,
    phase: Annotated[int | None, typer.Option(help="Phase of a cine series, from 0.")] = None,
    labelmap: Annotated[
        bool, typer.Option("--labelmap", help="Write the DICOM segmentation as one label map.")
    ] = False,
    pacs: PacsOption = None,
    send_to: SendOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 means every core.", min=0)] = 0,
    home: HomeOption = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a case.")] = False,
) -> None:
    """Segment images with a released model; nothing is ever overwritten.

    Example: crisp-client predict runs/demo image.nii.gz -o answers --format nifti --format pdf
    """
    errors: list[CrispError] = []
    count = 0
    with told():
        from crisp_client.home import SiteHome
        from crisp_client.prediction.run import predict as answers

        place = SiteHome(home)
        predictor = _predictor(model, device, threads)
        _caution(predictor.model)
        options = _options(formats, largest_component, labelmap, predictor.model)
        log = _log(place, out, predictor.model)
        with _sources(place, pacs, image, series, phase) as sources:
            for outcome in answers(predictor, sources, out, options, log):
                count += 1
                error = outcome.error or _sent(place, send_to, outcome)
                errors += [error] if error else []
                _tell(outcome, error, as_json=as_json)
    human.print(f"{count - len(errors)} of {count} answered", highlight=False)
    if errors:
        codes = {error.exit_code for error in errors}
        raise typer.Exit(codes.pop() if len(codes) == 1 else DataError.exit_code)


def _predictor(model: Path, device: str, threads: int) -> Predictor:
    from crisp_client.prediction.onnx_predictor import OnnxPredictor, is_exported

    if is_exported(model):
        return OnnxPredictor.of(model, threads)
    from crisp_client.device import workbench_of
    from crisp_client.prediction.predictor import TorchPredictor
    from crisp_core.files.released import read_released
    from crisp_core.schema.manifest import DEVICE, SiteSettings

    released, parameters = read_released(model)
    if not DEVICE.match(device):
        raise UsageError(
            expected="auto, cpu, cuda or cuda:N", got=device, where="--device", fix="Correct it"
        )
    place = SiteSettings(
        site="here", data=(), work="", device=device, threads=threads, pseudonym_key=""
    )
    return TorchPredictor.of(released, parameters, workbench_of(place))


def _caution(model: ReleasedModel) -> None:
    """Say where the network that answers is not the one that was measured."""
    federation = model.study.federation
    if federation.local_norm != "none" and federation.unseen_norm == "ensemble":
        human.print(
            "warning: held-out sites were measured with one network a source; this model is the "
            "mean of those, and nobody has measured it",
            style="yellow",
            soft_wrap=True,
        )


def _options(
    formats: list[str] | None,
    largest: list[str] | None,
    labelmap: bool,
    model: ReleasedModel,
) -> Options:
    from crisp_client.prediction.formats import completed
    from crisp_client.prediction.run import Options

    known = get_args(Format)
    for name in formats or ():
        if name not in known:
            raise UsageError(
                expected=f"one of {', '.join(known)}", got=name, where="--format", fix="Correct it"
            )
    names = completed(cast("list[Format]", formats or ["nifti"]))
    kept = model.study.classes if largest and EVERY in largest else tuple(largest or ())
    return Options(names, kept, labelmap)


def _log(home: SiteHome, out: Path, model: ReleasedModel) -> PredictionLog:
    """Log into the site's home; where there is none, beside the answers."""
    from crisp_client.prediction.log import PredictionLog
    from crisp_client.settings import load_settings

    if home.settings.exists():
        return PredictionLog(home, load_settings(home.settings).pseudonym_key)
    return PredictionLog(out, model.model_hash)


@contextmanager
def _sources(
    home: SiteHome, pacs: str | None, image: Path, series: str | None, phase: int | None
) -> Iterator[list[Source]]:
    """Find what to predict on; what comes from a PACS is kept only until all is answered."""
    from crisp_client.prediction.inputs import sources_in

    if pacs is None:
        yield list(sources_in(image, series_uid=series, phase=phase))
        return
    from crisp_client.prediction.exchange import sources_of_study

    with TemporaryDirectory(prefix="crisp-") as folder:
        yield list(sources_of_study(home, pacs, str(image), Path(folder), series))


def _sent(home: SiteHome, pacs: str | None, outcome: Outcome) -> CrispError | None:
    """Send an answer on if that was asked for; return what went wrong."""
    if pacs is None:
        return None
    from crisp_client.prediction.exchange import send_results

    try:
        count = send_results(home, pacs, outcome.place)
    except CrispError as error:
        return error
    human.print(f"{outcome.source.name}: {count} objects sent to {pacs}", markup=False)
    return None


def _tell(outcome: Outcome, error: CrispError | None, *, as_json: bool) -> None:
    name, record = outcome.source.name, outcome.record
    if error is not None:
        human.print(f"{name}: {error}", style="red", markup=False, soft_wrap=True)
        if as_json:
            typer.echo(json.dumps({"case": name, "error": str(error)}))
    if record is None or error is not None:
        return
    volumes = ", ".join(f"{key} {one.volume_ml:.1f} ml" for key, one in record.structures.items())
    flag = f", {record.flag.decision}" if record.flag else ""
    note = "" if outcome.made_now else " (was there already)"
    line = f"{name}: {volumes}{flag} -> {outcome.place}{note}"
    human.print(line, markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"place": str(outcome.place), **record.model_dump(mode="json")}))
