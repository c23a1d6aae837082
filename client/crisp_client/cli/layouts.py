"""Commands about data sets as their publishers lay them out: describe, import."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from crisp_client.cli.app import app, human, told
from crisp_core.errors import DataError, UsageError
from crisp_core.schema.places import LayoutName, Place, condition

if TYPE_CHECKING:
    from crisp_core.files.layouts.house_writer import Imported
    from crisp_core.report.describe import Description

FLAMBY, DICOM = "flamby", "dicom"
LayoutOption = Annotated[
    str, typer.Option(help="auto guesses; or mnms, acdc, nnunet, msd, bids, csv, house …")
]
SelectOption = Annotated[
    list[str] | None, typer.Option(metavar="CONDITION", help="Such as vendor=A or part!=testing.")
]


@app.command()
def describe(
    folder: Annotated[Path, typer.Argument(help="A data set, in any layout that is known.")],
    layout: LayoutOption = "auto",
    select: SelectOption = None,
    page: Annotated[
        Path | None, typer.Option(help="Also write a page with a slice of each case.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Guess the layout of a folder, open every case and say what was found.

    Sites, cases, patients, spacing, labels by meaning, oddities. Nothing is changed or sent.

    Example: crisp-client describe OpenDataset --page mnms.html
    """
    with told():
        from crisp_client.describing import describe as look
        from crisp_core.report.describe import write_description

        with human.status("looking") as status:
            found = look(
                _place(folder, layout, select),
                lambda done, total: status.update(f"opened {done} of {total} cases"),
            )
        if page is not None:
            write_description(found, page)
    if as_json:
        value = asdict(found)
        for case in value["cases"]:
            case.pop("thumbnail")
        typer.echo(json.dumps(value))
    else:
        _tell(found)
    if page is not None:
        human.print(f"Page: {page}", soft_wrap=True)
    if found.errors:
        raise typer.Exit(DataError.exit_code)


@app.command(name="import")
def import_(
    folder: Annotated[str, typer.Argument(help="A data set; for flamby its name, as fed_ixi.")],
    out: Annotated[Path, typer.Argument(help="Where to make one folder a site.")],
    layout: Annotated[
        str,
        typer.Option(help="auto guesses; or mnms, acdc, nnunet, msd, bids, csv, dicom, flamby …"),
    ] = "auto",
    select: SelectOption = None,
    classes: Annotated[
        str, typer.Option(help="Order of the labels, separated by commas; else the data set's.")
    ] = "",
) -> None:
    """Make folders in house format from a data set: links where a file can be used as it is.

    A frame of a cine and a mask with other numbers must be written; how many is said.

    Example: crisp-client import OpenDataset data/mnms --layout mnms --classes LV,MYO,RV
    """
    with told():
        made = _imported(folder, out, layout, select, classes)
    for site in made.sites:
        human.print(f"{site.name}: {site}", soft_wrap=True)
    human.print(
        f"{made.linked_count} links, {made.frame_count} images and {made.mask_count} masks written"
    )
    if made.classes:
        typer.echo(f"classes = {json.dumps(made.classes)}")
    if made.linked_count:
        human.print("A hospital that trains on links sets follow_links = true in site.toml")


def _imported(
    folder: str, out: Path, layout: str, select: list[str] | None, classes: str
) -> Imported:
    if layout == FLAMBY:
        from crisp_core.files.layouts.flamby import write_flamby

        return write_flamby(folder, out)
    names = [name.strip() for name in classes.split(",")] if classes else None
    if layout == DICOM:
        from crisp_core.files.dicom.cohort import write_cohort

        return write_cohort(Path(folder), out, names)
    from crisp_core.files.layouts.house_writer import write_house
    from crisp_core.files.layouts.reading import survey_place

    data, flaws = survey_place(_place(Path(folder), layout, select), follow_links=True)
    if flaws:
        raise flaws[0].error
    return write_house(data, out, names)


def _place(folder: Path, layout: str, select: list[str] | None) -> Place:
    """Check what was typed.

    Raises:
        UsageError: If there is no such layout, or a condition is none.
    """
    known = get_args(LayoutName)
    if layout not in known:
        fix = "Name one of them"
        raise UsageError(expected=", ".join(known), got=repr(layout), where="--layout", fix=fix)
    try:
        for text in select or ():
            condition(text)
    except ValueError as error:
        fix = "Correct the condition"
        raise UsageError(expected=str(error), got=text, where="--select", fix=fix) from None
    own: LayoutName = layout  # type: ignore[assignment]  # it is one of the names
    return Place(str(folder), own, tuple(select or ()))


def _tell(found: Description) -> None:
    """Print what was found, as a person reads it."""
    typer.echo(
        f"{found.name}: {found.layout}; {found.case_count} cases of {found.patient_count} patients "
        f"at {len(found.sites)} sites"
    )
    for site in found.sites:
        spacing = " x ".join(f"{mm:.3g}" for mm in site.spacing_mm or ()) or "unknown"
        vendors = f" ({', '.join(site.vendors)})" if site.vendors else ""
        typer.echo(
            f"  {site.site}{vendors}: {site.cases} cases, {site.patients} patients, "
            f"median voxel {spacing} mm"
        )
    for label in found.labels:
        names = ", ".join(label.names) or "unnamed"
        typer.echo(f"  label {label.number}: {names}; in {label.case_count} of {len(found.cases)}")
    for level, lines in (("", found.remarks), ("odd: ", found.oddities), ("error: ", found.errors)):
        for line in lines:
            typer.echo(f"  {level}{line}")
