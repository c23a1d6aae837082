from __future__ import annotations

from pathlib import Path

import pytest

from crisp_core.numerics import aggregation
from crisp_core.numerics.aggregation.registry import rules

FENCE = "```"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-an-aggregation-rule.md"


def blocks() -> list[str]:
    """Return the page's Python: the rule, then its test."""
    parts = PAGE.read_text().split(f"{FENCE}python\n")[1:]
    return [part.split(FENCE)[0] for part in parts]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a module of the package may lie."""
    monkeypatch.setattr(aggregation, "__path__", [*aggregation.__path__, str(tmp_path)])
    return tmp_path


def test_a_rule_is_one_file_and_its_test_as_the_page_says(package: Path) -> None:
    rule, test = blocks()
    (package / "midrange.py").write_text(rule)
    found: dict[str, object] = {}

    exec(compile(test, str(PAGE), "exec"), found)  # noqa: S102 - our own page
    (check,) = (value for name, value in found.items() if name.startswith("test_"))
    check()

    assert "midrange" in rules()


def test_two_rules_of_one_word_are_refused(package: Path) -> None:
    (package / "again.py").write_text("RULES = {'median': None}\n")

    with pytest.raises(ValueError, match="median"):
        rules()
