"""One line of a preflight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of a preflight: what was looked at, what was found, what to do about it."""

    level: Literal["ok", "warning", "error"]
    what: str
    """One word for the step: `dns`, `port`, `clock`, …"""
    sentence: str
    fix: str = ""

    def line(self) -> str:
        """Say it in one line; what came from outside cannot steer a terminal."""
        cure = f" {self.fix}." if self.fix else ""
        return printable(f"{self.level}: {self.what}: {self.sentence}.{cure}")


def printable(text: str) -> str:
    """Return the text with a question mark for whatever a terminal would not print."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def error(what: str, sentence: str, fix: str) -> Finding:
    """Return a finding that ends the way."""
    return Finding("error", what, sentence, fix)
