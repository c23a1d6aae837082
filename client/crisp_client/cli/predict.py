"""Commands of a model at work: predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from crisp_client.cli.app import app, human, told
from crisp_core.errors import DataError, UsageError
from crisp_core.schema.answer import Format

if TYPE_CHECKING:
    from crisp_client.prediction.predictor import Predictor
    from crisp_client.prediction.run import Options, Outcome
    from crisp_core.schema.released import ReleasedModel

EVERY = "all"


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A run's folder, or its model.safetensors.")],
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 means every core.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a case.")] = False,
) -> None:
    """Segment images with a released model; nothing is ever overwritten.

    Example: crisp-client predict runs/demo image.nii.gz -o answers --format nifti --format pdf
    """
    with told():
        from crisp_client.prediction.inputs import sources_in
        from crisp_client.prediction.run import predict as answers

        predictor = _predictor(model, device, threads)
        options = _options(formats, largest_component, labelmap, predictor.model)
        sources = sources_in(image, series_uid=series, phase=phase)
        outcomes = []
        for outcome in answers(predictor, sources, out, options):
            _tell(outcome, as_json=as_json)
            outcomes.append(outcome)
    failed = [outcome for outcome in outcomes if outcome.error]
    human.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} answered", highlight=False)
    if failed:
        codes = {outcome.error.exit_code for outcome in failed if outcome.error}
        raise typer.Exit(min(codes) if len(codes) == 1 else DataError.exit_code)


def _predictor(model: Path, device: str, threads: int) -> Predictor:
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


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    name, record = outcome.source.name, outcome.record
    if record is None:
        human.print(f"{name}: {outcome.error}", style="red", markup=False, soft_wrap=True)
        if as_json:
            typer.echo(json.dumps({"case": name, "error": str(outcome.error)}))
        return
    volumes = ", ".join(f"{key} {one.volume_ml:.1f} ml" for key, one in record.structures.items())
    note = "" if outcome.made_now else " (was there already)"
    human.print(f"{name}: {volumes} -> {outcome.place}{note}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"place": str(outcome.place), **record.model_dump(mode="json")}))
