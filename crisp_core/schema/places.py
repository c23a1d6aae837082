"""Where a site's images are: a folder, how its files lie there, and which of its cases count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

LayoutName = Literal[
    "house",
    "auto",
    "mnms",
    "mnms-with-unlabeled",
    "acdc",
    "prostate",
    "brats",
    "fets",
    "fets-2",
    "msd",
    "nnunet",
    "bids",
    "csv",
]
FACTS = ("site", "vendor", "part", "group", "phase", "split", "patient")
"""What a condition may ask of a case; `fold` is asked of its patient."""
CONDITION = re.compile(r"(?P<fact>[a-z]+)(?P<sign>!?=)(?P<values>.+)")
FOLD = re.compile(r"(?P<number>[1-9]\d?)/(?P<count>[1-9]\d?)")


@dataclass(frozen=True)
class Condition:
    """One thing that must hold for a case to count: `vendor=A|B`, `site!=3`, `fold=1/5`."""

    fact: str
    values: tuple[str, ...]
    wanted: bool = True
    """False where the case must have none of the values."""

    def holds(self, value: str) -> bool:
        """Tell whether a case with this value counts; case of letters does not matter."""
        return (value.casefold() in {one.casefold() for one in self.values}) == self.wanted


@dataclass(frozen=True)
class Place:
    """A folder, its layout, and the conditions on its cases."""

    folder: str
    layout: LayoutName = "house"
    select: tuple[str, ...] = ()


def condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ValueError: If it is none.

    Examples:
        >>> condition("vendor=A|B")
        Condition(fact='vendor', values=('A', 'B'), wanted=True)
        >>> condition("fold!=1/5").wanted
        False
    """
    match = CONDITION.fullmatch(text.strip())
    facts = (*FACTS, "fold")
    if match is None or match["fact"] not in facts:
        message = f"a condition such as vendor=A|B on {', '.join(facts)}, got {text!r}"
        raise ValueError(message)
    values = tuple(value.strip() for value in match["values"].split("|"))
    if match["fact"] == "fold":
        _insist_on_folds(values, text)
    return Condition(match["fact"], values, match["sign"] == "=")


def exclude_each_other(some: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether no case can fulfil both lists of conditions.

    Examples:
        >>> exclude_each_other(["vendor=A"], ["vendor=B", "site=2"])
        True
        >>> exclude_each_other(["fold=1/5"], ["fold!=1/5"])
        True
        >>> exclude_each_other(["vendor=A"], ["site=2"])
        False
    """
    return any(_apart(condition(one), condition(other)) for one in some for other in others)


def _apart(one: Condition, other: Condition) -> bool:
    first = {value.casefold() for value in one.values}
    second = {value.casefold() for value in other.values}
    if one.fact != other.fact or (not one.wanted and not other.wanted):
        return False
    if one.fact == "fold" and len({fold.partition("/")[2] for fold in first | second}) > 1:
        return False  # fifths and thirds overlap
    if one.wanted and other.wanted:
        return not first & second
    return first <= second if one.wanted else second <= first


def _insist_on_folds(values: Sequence[str], text: str) -> None:
    for value in values:
        match = FOLD.fullmatch(value)
        if match is None or int(match["number"]) > int(match["count"]):
            message = f"a fold such as fold=1/5, got {text!r}"
            raise ValueError(message)


def _checked(text: str) -> str:
    condition(text)
    return text


ConditionText = Annotated[str, AfterValidator(_checked)]
AlsoPlace = tuple[str, LayoutName, tuple[ConditionText, ...]]
"""Folder, layout and conditions, as a list that JSON and TOML write alike."""


def places_of(
    data: Sequence[str], layout: LayoutName, select: Sequence[str], also: Sequence[AlsoPlace]
) -> tuple[Place, ...]:
    """Join what a site says about its folders."""
    own = (Place(folder, layout, tuple(select)) for folder in data)
    return (*own, *(Place(folder, layout, select) for folder, layout, select in also))
