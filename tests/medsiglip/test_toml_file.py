"""TOML is read as tomllib reads it, up to a size and depth that no file of ours needs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.toml_file import MAX_BYTES, MAX_DEPTH, MAX_PARTS, TomlError, parse_toml, toml_bytes
from tests.repository import ROOT

FILES = [path for path in ROOT.glob("*/**/*.toml") if ".venv" not in path.parts]
BRACKETS = "[" * 100
STRINGS = {
    "basic": f'x = "{BRACKETS} a.{"b." * 100}"',
    "escaped quote": f'x = "\\" {BRACKETS}"',
    "escaped backslash": f'x = "\\\\" # {BRACKETS}',
    "literal": f"x = '{BRACKETS} \\'",
    "lines": f'x = """\n{BRACKETS} "" \\""" \\\\"""',
    "five quotes": 'x = """a"""""\ny = """"b"""',
    "literal lines": f"x = '''{BRACKETS} '' \n'''",
    "five apostrophes": "x = '''a'''''\ny = ''''b'''",
    "quoted keys": f'"{BRACKETS}" = 1\n\'{BRACKETS}!\'."{"a." * 50}" = 2',
    "comment": f"# {BRACKETS} \" ''' \"\"\"\nx = 1 # '\ny = 2",
    "numbers": f"x = [{'1.5, ' * 100}]\ny = 1979-05-27T07:32:00.999999Z",
    "one line end": 'x = "a"\r\ny = [\r\n1,\r\n]',
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_bundled_files(path: Path) -> None:
    assert parse_toml(toml_bytes(path)) == tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", STRINGS)
def test_marks_within_strings_and_comments_do_not_count(name: str) -> None:
    assert parse_toml(STRINGS[name].encode()) == tomllib.loads(STRINGS[name])


PIECES = ("x = ", '"', '"""', "'", "'''", "\\", "[", "]", "{", "}", ".", ",", "=", "\n", "#", "a", "1")


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_valid_toml_is_parsed_as_by_tomllib(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(TomlError):
            parse_toml(text.encode())
        return
    assert parse_toml(text.encode()) == expected


# The bracket that goes too far stands behind each string that the scan could take for longer than it is.
@pytest.mark.parametrize(
    "before",
    [
        "",
        '"a", ',
        "'a', ",
        '"""a""", ',
        '"""a"""""',
        "'''a'''''",
        '"\\\\", ',
        "'\\', ",
        '"""\\\\""", ',
        '""""a""", ',
    ],
)
def test_deep_nesting_is_refused(before: str) -> None:
    with pytest.raises(TomlError, match=f"line 2 has more than {MAX_DEPTH} brackets within each other"):
        parse_toml(f"y = 1\nx = [{before}{'[' * 5000}".encode())


def test_limits_of_depth_parts_and_size() -> None:
    deep = f"x = {'[' * MAX_DEPTH}{']' * MAX_DEPTH}"
    long = f"{'a.' * (MAX_PARTS - 1)}a = 1"
    assert parse_toml(deep.encode()) == tomllib.loads(deep)
    assert parse_toml(long.encode()) == tomllib.loads(long)
    assert parse_toml(b"x = 1 #".ljust(MAX_BYTES)) == {"x": 1}
    for text in (
        deep.replace("[]", "[[]]"),
        f"a.{long}",
        f"[{'a.' * MAX_PARTS}a]",
        f"{'a . ' * MAX_PARTS}a = 1",
    ):
        with pytest.raises(TomlError, match="line 1 has"):
            parse_toml(text.encode())
    with pytest.raises(TomlError, match=f"more than {MAX_BYTES} bytes"):
        parse_toml(b"x = 1 #".ljust(MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x = " + b"9" * 5000, "too many digits"),
        (b"x = -" + b"9" * 5000, "too many digits"),
        (b"\xff", "utf-8"),
        (b"x = '" + b"a" * 5000, "Expected"),
        (b"a" * 5000 + b" = 1\n" + b"a" * 5000 + b" = 1", "Cannot overwrite"),
    ],
)
def test_errors_are_short(content: bytes, message: str) -> None:
    with pytest.raises(TomlError, match=message) as caught:
        parse_toml(content)
    assert len(str(caught.value)) <= 200


def test_an_oversized_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b" " * (2 * MAX_BYTES))
    assert len(toml_bytes(file)) == MAX_BYTES + 1
