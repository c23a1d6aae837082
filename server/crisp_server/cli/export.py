"""The command that turns a released model into what other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crisp_core.schema.exported import ExportFormat
from crisp_server.cli.app import JsonOption, app, human, told


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A finished run's folder, or its weights.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new folder.")],
    form: Annotated[ExportFormat, typer.Option("--format", help="What to write.")] = "onnx",
    as_json: JsonOption = False,
) -> None:
    """Write a released model as ONNX, as torch.export programs or as a MONAI bundle.

    Each program is run beside the network before it is kept.

    Example: crisp export runs/first --format onnx -o exported
    """
    with told():
        from crisp_core.files.export.write import export_model

        exported = export_model(model, form, out)
    if as_json:
        typer.echo(exported.model_dump_json())
        return
    parity = exported.parity
    human.print(
        f"{out}: {form} of model {exported.model_hash[:12]}, {len(exported.files)} files; "
        f"probabilities within {parity.max_difference:.1g}, {parity.labels_equal:.2%} of labels "
        f"equal ({parity.runtime})",
        markup=False,
        soft_wrap=True,
    )
