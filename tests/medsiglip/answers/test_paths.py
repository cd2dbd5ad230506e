from __future__ import annotations

import os
from pathlib import Path

import pytest

from medsiglip.answers.cases import IngestReport
from medsiglip.answers.paths import given, shown, shown_values

NAMES = (
    (b"M\xfcller-\xe9.dcm", r"M\xfcller-\xe9.dcm"),  # ISO 8859-1
    ("Müller.dcm".encode(), "Müller.dcm"),
    ("Müller-".encode() + b"\xe9.dcm", r"Müller-\xe9.dcm"),
    ("山田".encode("shift_jis"), r"\x8eR\x93c"),
    (b"cut \xe5\xb1", r"cut \xe5\xb1"),
    (b"plain.dcm", "plain.dcm"),
)


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_bytes_that_are_not_utf_8_are_shown_and_understood(name: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    assert shown(str(path)) == f"{tmp_path}/{text}"
    assert given(f"{tmp_path}/{text}") == str(path)


def test_a_file_with_these_characters_in_its_name_comes_first(tmp_path: Path) -> None:
    literal = tmp_path / r"a\xfc.dcm"
    assert given(str(literal)) == os.fsdecode(os.fsencode(tmp_path) + b"/a\xfc.dcm")
    literal.touch()
    assert given(str(literal)) == str(literal)


def test_only_high_bytes_are_escapes() -> None:
    """A byte below 128 is always UTF-8."""
    assert given(r"/data/\x41\x2e\xzz") == r"/data/\x41\x2e\xzz"


def test_a_surrogate_that_stands_for_no_byte_is_a_replacement_character() -> None:
    assert shown("a\ud800b\udcffé") == "a\ufffdb\ufffdé"


def test_every_text_of_a_value_is_shown() -> None:
    value = {"a\udcff": ["\udcfc", ("\udcfc", 1, None)], "n": 0.5, "ok": True}
    assert shown_values(value) == {"a\\xff": ["\\xfc", ["\\xfc", 1, None]], "n": 0.5, "ok": True}


def test_an_answer_holds_what_is_shown() -> None:
    refused = {"path": "/a/\udcfc.dcm", "code": "empty-file", "reason": "."}
    report = IngestReport(
        files=1, files_embedded=0, files_unchanged=0, studies=0, series=0, instances=0, images=0, embedded=0,
        unchanged=0, skipped=(), quarantined=(refused,), warnings=("/a/\udcfc",), space="s", seconds=0.0,
    )  # fmt: skip
    assert report.quarantined[0].path == r"/a/\xfc.dcm"
    assert report.warnings == (r"/a/\xfc",)
    report.model_dump_json().encode()
