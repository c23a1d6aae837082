"""Every layout by name, and which one a folder has."""

from __future__ import annotations

from pathlib import Path

from crisp_core.errors import DataError, UsageError
from crisp_core.files.layouts import acdc, bids, brats, house, mnms, msd, nnunet, prostate, table
from crisp_core.files.layouts.layout import DataSet, Layout

LAYOUTS: tuple[Layout, ...] = (
    mnms.LAYOUT,
    mnms.WITH_UNLABELED,
    acdc.LAYOUT,
    prostate.LAYOUT,
    brats.FETS,
    brats.FETS_2,
    brats.BRATS,
    nnunet.LAYOUT,
    msd.LAYOUT,
    bids.LAYOUT,
    house.LAYOUT,
    table.LAYOUT,
)
"""In the order in which `auto` asks them."""


def named(name: str) -> Layout:
    """Return a layout by its name.

    Raises:
        UsageError: If there is none of this name.
    """
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    names = ", ".join(["auto", *(layout.name for layout in LAYOUTS)])
    raise UsageError(
        expected=f"a layout of {names}", got=repr(name), where="layout", fix="Name one"
    )


def layout_of(folder: Path) -> Layout:
    """Guess a folder's layout from names and tables in it.

    Raises:
        DataError: If it has none, with what was looked for.
    """
    found = next((layout for layout in LAYOUTS if layout.matches(folder)), None)
    if found is None:
        looked = "; ".join(
            f"{one.name}: {one.looks_for}" for one in LAYOUTS if one.name not in _ASKED
        )
        got = "none of them" if folder.exists() else "no such folder"
        fix = "Name the folder that holds these, or the layout"
        raise DataError(expected=f"a data set ({looked})", got=got, where=str(folder), fix=fix)
    return found


def read_data_set(folder: Path, layout: str = "auto") -> DataSet:
    """List what a folder holds; no image is opened.

    Raises:
        DataError: If it has no such layout.
        UsageError: If there is no such layout at all.
    """
    return (layout_of(folder) if layout == "auto" else named(layout)).read(folder)


_ASKED = ("mnms-with-unlabeled", "fets-2")
"""Layouts that are read only where somebody asks for them by name."""
