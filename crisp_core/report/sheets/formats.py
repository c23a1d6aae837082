"""A sheet as CSV and JSON for programs, as Markdown for documents."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, words_of

Value = str | int | float | None
DIGITS = 12
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(sheet: Sheet) -> str:
    """Write one line of keys and one line a row, nothing for what is not defined.

    A word that a spreadsheet would run as a formula gets an apostrophe in front: some words come
    from other hospitals.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_harmless(key) for heading in sheet.headings for key in _keys(heading)])
    for row in sheet.rows:
        pairs = zip(sheet.headings, row, strict=True)
        writer.writerow([_harmless(v) for heading, entry in pairs for v in _values(heading, entry)])
    return out.getvalue()


def json_text(sheet: Sheet) -> str:
    """Write title, note, columns and rows; the keys of a row are the columns of the CSV file."""
    value = {
        "name": sheet.name,
        "title": sheet.title,
        "note": sheet.note,
        "columns": [_column(heading) for heading in sheet.headings],
        "rows": [_row(sheet, row) for row in sheet.rows],
    }
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def markdown_text(sheet: Sheet) -> str:
    """Write a table as Markdown: the best of a column bold, a row's worst held-out site marked."""
    lines = [
        [label_of(heading) for heading in sheet.headings],
        ["---" if heading.wordy else "---:" for heading in sheet.headings],
        *(
            [_markdown(*pair) for pair in zip(row, sheet.headings, strict=True)]
            for row in sheet.rows
        ),
    ]
    if sheet.sampled:
        lines.append([*sample_row(sheet)])
    return "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)


def label_of(heading: Heading) -> str:
    """Return a heading with its unit."""
    return f"{heading.label} ({heading.unit})" if heading.unit else heading.label


def sample_row(sheet: Sheet) -> Iterator[str]:
    """Say under each column what it rests on."""
    for index, heading in enumerate(sheet.headings):
        yield heading.sample or ("" if index else sheet.sample_label)


def _keys(heading: Heading) -> Iterator[str]:
    yield heading.key
    yield from (f"{heading.key}_{part}" for part in heading.parts)


def _values(heading: Heading, entry: Entry) -> Iterator[Value]:
    parts = {"sd": entry.sd, "low": entry.low, "high": entry.high, "p": entry.p}
    yield _shortened(entry.value)
    yield from (_shortened(parts[part]) for part in heading.parts)


def _shortened(value: Value) -> Value:
    """Leave out the digits that are rounding: 0.1 + 0.2 is 0.3."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _harmless(value: Value) -> Value:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _column(heading: Heading) -> dict[str, Value | list[str]]:
    return {
        "key": heading.key,
        "label": heading.label,
        "unit": heading.unit,
        "sample": heading.sample,
        "parts": [*heading.parts],
    }


def _row(sheet: Sheet, row: tuple[Entry, ...]) -> dict[str, Value | dict[str, list[str]]]:
    pairs = list(zip(sheet.headings, row, strict=True))
    values = {
        key: value
        for heading, entry in pairs
        for key, value in zip(_keys(heading), _values(heading, entry), strict=True)
    }
    marks = {heading.key: found for heading, entry in pairs if (found := _marks(entry))}
    return {**values, "marks": marks}


def _marks(entry: Entry) -> list[str]:
    return [name for name in ("best", "worst", "fall") if getattr(entry, name)]


def _markdown(entry: Entry, heading: Heading) -> str:
    written = words_of(entry, heading)
    text = " ".join(filter(None, [written.main, "; ".join(written.small)]))
    text = f"**{text}**" if entry.best else text
    return f"{text} {written.mark}" if written.mark else text


def _escape(word: str) -> str:
    return word.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
