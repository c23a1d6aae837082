from __future__ import annotations

import importlib

import pytest

from crisp_core.errors import MissingExtraError


@pytest.mark.parametrize("name", ["crisp_core.files.dicom", "crisp_client.pacs"])
def test_without_the_extra_dicom_is_one_sentence_with_the_line_to_type(monkeypatch, name) -> None:
    package = importlib.import_module(name)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(MissingExtraError, match=r'pip install "crisp-fl\[dicom\]"'):
        importlib.reload(package)
