"""Labels by meaning: what a mask's numbers stand for, and which number the study gives them.

One data set says 1 for the left ventricle, another says 3. A layout knows the names; the study
lists its classes by name; so two hospitals with different numbers train one network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from crisp_core.arrays import IntArray
from crisp_core.errors import DataError

Meanings = Mapping[int, tuple[str, ...]]
"""Number in a mask -> names of the structures that it is part of; 0 is background."""

Numbering = tuple[tuple[int, int], ...]
"""(number in the mask, number in the study), every number that the mask may hold."""


def plain(*names: str) -> Meanings:
    """Give the labels 1, 2, … one name each.

    Examples:
        >>> plain("LV", "MYO")
        {1: ('LV',), 2: ('MYO',)}
    """
    return {number: (name,) for number, name in enumerate(names, start=1)}


def as_name(text: str) -> str:
    """Write any words as the name of a class.

    Examples:
        >>> as_name(" non-enhancing tumor (NCR) ")
        'non-enhancing-tumor-NCR'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._") or "unnamed"


def names_of(meanings: Meanings) -> tuple[str, ...]:
    """List every name once, in the order of the numbers."""
    return tuple(dict.fromkeys(name for _, names in sorted(meanings.items()) for name in names))


def numbering_of(meanings: Meanings, classes: Sequence[str], where: str) -> Numbering:
    """Number a data set's labels as a study does; what the study does not name is background.

    Args:
        meanings: Of the data set.
        classes: Of the study, in the order of its numbers 1, 2, …; case does not matter.
        where: Names the data set in an error.

    Raises:
        DataError: If the data set does not know a class, or two classes share a label.

    Examples:
        >>> numbering_of({1: ("RV",), 2: ("MYO",), 3: ("LV",)}, ["LV", "RV"], "ACDC")
        ((0, 0), (1, 2), (2, 0), (3, 1))
    """
    known = {name.casefold() for name in names_of(meanings)}
    for name in classes:
        if name.casefold() not in known:
            have = ", ".join(names_of(meanings))
            fix = "Name the study's classes as the data set does, or leave this site out"
            raise DataError(expected=f"a class of {have}", got=repr(name), where=where, fix=fix)
    pairs = [(number, _number(names, classes, where)) for number, names in sorted(meanings.items())]
    return ((0, 0), *pairs)


def _number(names: Iterable[str], classes: Sequence[str], where: str) -> int:
    own = {name.casefold() for name in names}
    found = [number for number, name in enumerate(classes, start=1) if name.casefold() in own]
    if len(found) > 1:
        both = " and ".join(repr(classes[number - 1]) for number in found)
        raise DataError(
            expected="classes that share no voxel",
            got=f"{both}, which overlap",
            where=where,
            fix="Take the parts that do not overlap, or one of them",
        )
    return found[0] if found else 0


def renumbered(labels: IntArray, numbering: Numbering, case_id: str) -> IntArray:
    """Give a mask the study's numbers.

    Args:
        labels: Of any shape, in the data set's numbers. Not modified.
        numbering: Every number that it may hold, with the study's.
        case_id: Names the case in an error.

    Returns:
        uint8 of the same shape.

    Raises:
        DataError: If the mask holds another number.
    """
    table = dict(numbering)
    found = np.unique(labels)
    unknown = [int(number) for number in found if int(number) not in table]
    if unknown:
        raise DataError(
            expected=f"labels {', '.join(map(str, sorted(table)))}",
            got=", ".join(map(str, unknown)),
            where=f"mask of case {case_id!r}",
            fix="Look at the mask: it does not hold what its data set says",
        )
    own = np.array([table[int(number)] for number in found], np.uint8)
    return own[np.searchsorted(found, labels)]
