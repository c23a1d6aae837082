"""A sheet as HTML: readable as it is; the page's script adds sorting and filtering."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from crisp_core.report.sheets.formats import sample_row
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, words_of
from crisp_core.report.svg import element

LONG_WORDS = 36
"""Words longer than this may break into lines."""


def html_text(sheet: Sheet) -> Markup:
    """Write a table in a frame that scrolls sideways by itself, its note under it.

    A figure's `data-value` holds all its digits: the script sorts by it.
    """
    head = element("thead", element("tr", *map(_heading, sheet.headings)))
    body = element("tbody", *(element("tr", *_cells(sheet, row)) for row in sheet.rows))
    table = element("table", head, body, *_foot(sheet), class_="sheet", id=f"table-{sheet.name}")
    frame = element(
        "div", table, class_="scroll", tabindex="0", role="region", aria_label=sheet.title
    )
    note = element("p", sheet.note, class_="note") if sheet.note else Markup("")
    return frame + note


def _heading(heading: Heading) -> Markup:
    unit = [" ", element("span", f"({heading.unit})")] if heading.unit else []
    return element("th", heading.label, *unit, scope="col", **_classes(heading.wordy and "text"))


def _cells(sheet: Sheet, row: tuple[Entry, ...]) -> Iterator[Markup]:
    for index, (entry, heading) in enumerate(zip(row, sheet.headings, strict=True)):
        written = words_of(entry, heading)
        main = element("code", written.main) if heading.kind == "code" else written.main
        small = [part for word in written.small for part in (" ", element("small", word))]
        mark = [f" {written.mark}"] if written.mark else []
        value = entry.value
        number = {} if value is None or isinstance(value, str) else {"data_value": repr(value)}
        scope = {} if index else {"scope": "row"}
        classes = _classes(*_marks(entry, heading, written.main))
        yield element("td" if index else "th", main, *mark, *small, **scope, **classes, **number)


def _marks(entry: Entry, heading: Heading, text: str) -> Iterator[str | bool]:
    yield heading.wordy and ("prose" if len(text) > LONG_WORDS else "text")
    yield entry.best and "best"
    yield entry.worst and "worst"
    yield entry.fall and "fall"


def _foot(sheet: Sheet) -> Iterator[Markup]:
    if sheet.sampled:
        first, *others = sample_row(sheet)
        cells = (element("td", text) for text in others)
        yield element("tfoot", element("tr", element("th", first, scope="row"), *cells))


def _classes(*names: str | bool) -> dict[str, str]:
    text = " ".join(name for name in names if isinstance(name, str))
    return {"class_": text} if text else {}
