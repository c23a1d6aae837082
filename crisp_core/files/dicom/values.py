"""Values as the standard writes them, or no value at all.

The parser below turns text into numbers with Python's own rules: "1_0" becomes ten, "nan" a
number, three values where two belong a list. A place, a spacing or a slope that is read that way
is wrong in silence. So every number is read from its bytes, against the words of the standard:
PS3.5 section 6.2, kinds DS (at most 16 characters) and IS (at most 12).
"""

from __future__ import annotations

import math
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from crisp_core.files.dicom.refusal import refused, unreadable

BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
WRITTEN = {
    "DS": (re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"), 16),
    "IS": (re.compile(rb"[+-]?\d+"), 12),
}
UID = re.compile(rb"[0-9]+(?:\.[0-9]+)+")
UID_LENGTH = 64
TEXT_LENGTH = 64
DEEPEST = 8
"""Levels of sequences that are followed; images and masks need five."""


@dataclass(frozen=True)
class Attributes:
    """One dataset, or one item of a sequence, and the words for where it is.

    An attribute that is there without a value counts as absent. Leading zeros in the parts of a
    UID are let pass: scanners and archives write them.
    """

    dataset: Dataset
    where: str
    depth: int = 0

    def has(self, keyword: str) -> bool:
        """Tell whether an attribute has a value."""
        element = self._element(keyword)
        if element is None or element.value is None:
            return False
        return not isinstance(element.value, str | bytes) or len(element.value) > 0

    def numbers(self, keyword: str, count: int | None = None) -> tuple[float, ...]:
        """Return the finite numbers of an attribute.

        Args:
            keyword: Of the standard's dictionary.
            count: How many there must be; None: any.

        Raises:
            DataError: If it is absent, of another kind or count, or not written as the standard
                says.
        """
        element = self._element(keyword)
        if element is None or not self.has(keyword):
            raise refused(self.where, f"a value of {keyword}", "none")
        values = self._numbers(element, keyword)
        if count is not None and len(values) != count:
            raise refused(self.where, f"{count} values of {keyword}", str(len(values)))
        return values

    def number(self, keyword: str) -> float:
        """Return one number; as `numbers`."""
        return self.numbers(keyword, 1)[0]

    def optional(self, keyword: str) -> float | None:
        """Return one number, None if the attribute is absent; as `numbers` if it is malformed."""
        return self.number(keyword) if self.has(keyword) else None

    def positive(self, keyword: str, count: int) -> tuple[float, ...]:
        """Return numbers above zero; as `numbers`."""
        values = self.numbers(keyword, count)
        if min(values) <= 0:
            raise refused(self.where, f"{keyword} above 0", f"{min(values):g}")
        return values

    def whole(self, keyword: str) -> int:
        """Return one whole number of a kind that holds nothing else; as `numbers`."""
        value = self.number(keyword)
        if value != int(value):
            raise refused(self.where, f"a whole {keyword}", f"{value:g}")
        return int(value)

    def uid(self, keyword: str) -> str:
        """Return a UID.

        Raises:
            DataError: If it is absent or no UID.
        """
        element = self._element(keyword)
        raw = b"" if element is None else _bytes_of(element, "UI").strip(b"\x00 ")
        if len(raw) > UID_LENGTH or not UID.fullmatch(raw):
            raise refused(self.where, f"a UID as {keyword}", _shown(raw) if raw else "none")
        return raw.decode("ascii")

    def text(self, keyword: str, length: int = TEXT_LENGTH) -> str:
        """Return the printable part of a text, cut to `length`; "" if the attribute is absent.

        Raises:
            DataError: If it cannot be read as text.
        """
        try:
            with quiet():
                value = self.dataset.get(keyword, "")
        except Exception as error:  # a damaged value makes the parser raise anything
            where = f"{keyword}, {self.where}"
            raise unreadable(where, error) from None
        words = str(value if value is not None else "")
        return "".join(letter for letter in words if letter.isprintable())[:length]

    def items(self, keyword: str) -> tuple[Attributes, ...]:
        """Return the items of a sequence; none if it is absent.

        Raises:
            DataError: If it is no sequence, or lies deeper than any image needs.
        """
        if keyword not in self.dataset:
            return ()
        try:
            with quiet():
                sequence = self.dataset[keyword].value
        except Exception as error:  # as above
            where = f"{keyword}, {self.where}"
            raise unreadable(where, error) from None
        if not isinstance(sequence, Sequence) or isinstance(sequence, str | bytes):
            raise refused(self.where, f"a sequence as {keyword}", "another kind of value")
        if self.depth >= DEEPEST:
            raise refused(self.where, f"at most {DEEPEST} sequences in one another", "more")
        return tuple(
            Attributes(item, f"{keyword} {number}, {self.where}", self.depth + 1)
            for number, item in enumerate(sequence, start=1)
        )

    def as_items(self) -> tuple[Attributes, ...]:
        """Return this item as the only one of a sequence; none if it is empty."""
        return (self,) if len(self.dataset) else ()

    def raw(self, keyword: str) -> bytes:
        """Return the bytes of an attribute as they are stored.

        Raises:
            DataError: If it is absent or empty.
        """
        element = self._element(keyword)
        if not isinstance(element, RawDataElement) or not element.value:
            raise refused(self.where, keyword, "none")
        return bytes(element.value)

    def _element(self, keyword: str) -> DataElement | RawDataElement | None:
        tag = Tag(keyword)
        return self.dataset.get_item(tag) if tag in self.dataset else None

    def _numbers(self, element: DataElement | RawDataElement, keyword: str) -> tuple[float, ...]:
        expected = dictionary_VR(keyword)
        kind = element.VR or (expected if _is_implicit(element) else "none")
        if kind not in expected.split(" or "):
            raise refused(self.where, f"{keyword} of kind {expected}", f"kind {kind}")
        if kind == "US or SS":  # implicit: which of them, the values cannot say
            kind = "US"
        raw = _bytes_of(element, kind)
        values = _unpacked(raw, kind, element) if kind in BINARY else _written(raw, kind)
        if values is None or not all(map(math.isfinite, values)):
            wanted = f"{keyword} as the standard writes {kind}"
            raise refused(self.where, wanted, _shown(raw))
        return values


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the parser's own warnings to itself: what matters is checked where it is used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _shown(raw: bytes) -> str:
    return repr(raw[:TEXT_LENGTH])[1:]


def _is_implicit(element: DataElement | RawDataElement) -> bool:
    """Tell whether the file does not say the kinds of its values; an explicit one must."""
    return not isinstance(element, RawDataElement) or element.is_implicit_VR


def _bytes_of(element: DataElement | RawDataElement, kind: str) -> bytes:
    """Return a value's bytes as they are, or as they would be written."""
    if isinstance(element, RawDataElement):
        return element.value or b""
    value = element.value
    parts = [value] if isinstance(value, str | int | float) else list(value)
    if kind in BINARY:
        return struct.pack(f"<{len(parts)}{BINARY[kind]}", *parts)
    return "\\".join(str(getattr(part, "original_string", part)) for part in parts).encode()


def _unpacked(
    raw: bytes, kind: str, element: DataElement | RawDataElement
) -> tuple[float, ...] | None:
    size = struct.calcsize(f"={BINARY[kind]}")
    if len(raw) % size:
        return None
    big = isinstance(element, RawDataElement) and not element.is_little_endian
    return struct.unpack(f"{'>' if big else '<'}{len(raw) // size}{BINARY[kind]}", raw)


def _written(raw: bytes, kind: str) -> tuple[float, ...] | None:
    if kind not in WRITTEN:
        return None
    pattern, length = WRITTEN[kind]
    parts = [part.strip(b" ") for part in raw.rstrip(b"\x00").split(b"\\")]
    if not all(len(part) <= length and pattern.fullmatch(part) for part in parts):
        return None
    return tuple(float(part) for part in parts)
