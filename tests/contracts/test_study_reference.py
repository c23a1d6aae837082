from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from crisp_core.schema.methods import PRESETS
from crisp_core.schema.study import Study

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "study.md"


def keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation)
        else:
            yield name


def test_every_key_and_every_method_word_of_a_study_is_documented() -> None:
    page = PAGE.read_text()

    absent = [key for key in keys(Study) if f"`{key}`" not in page and f"`{key}." not in page]
    assert absent == []
    assert [word for word in PRESETS if f"| `{word}` |" not in page] == []
