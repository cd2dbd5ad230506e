"""Nothing of made-up patients in many scripts is in a home that they were ingested into: every byte is
searched, for names in all their spellings, numbers, dates and addresses that stood in headers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.conftest import run
from tests.api.privacy.identities import SCRIPTS, MadeUp, made_up, write_files
from tests.api.privacy.traces import ENCODINGS, contents

WINDOW = 4


class ByteSearch:
    """Finds words in many places at once: those whose first or last four bytes stand nowhere cost little."""

    def __init__(self, places: Iterable[tuple[str, bytes]]) -> None:
        self._places = [(name, raw, raw.lower()) for name, raw in places]
        windows = [_windows(raw) for _, *both in self._places for raw in both]
        self._seen = np.unique(np.concatenate(windows))

    def found(self, words: Iterable[str]) -> list[tuple[str, str]]:
        """Places of words in any encoding and case, with the word."""
        patterns = [(word, spelt) for word in words for spelt in _encoded(word) if len(spelt) >= WINDOW]
        firsts = np.array([int.from_bytes(spelt[:WINDOW], "big") for _, spelt in patterns], np.uint32)
        lasts = np.array([int.from_bytes(spelt[-WINDOW:], "big") for _, spelt in patterns], np.uint32)
        likely = self._has(firsts) & self._has(lasts)
        chosen = [pattern for pattern, one in zip(patterns, likely, strict=True) if one]
        hits = {
            (name, word)
            for word, spelt in chosen
            for name, *both in self._places
            if any(spelt in raw for raw in both)
        }
        return sorted(hits)

    def _has(self, windows: Any) -> Any:
        """Which of some windows stand anywhere."""
        places = np.searchsorted(self._seen, windows).clip(max=len(self._seen) - 1)
        return self._seen[places] == windows


def _encoded(word: str) -> set[bytes]:
    """A word in each case and in each encoding that has all its letters, and as JSON and Python write it."""
    texts = {word, word.lower(), word.upper(), word.casefold()}
    texts |= {json.dumps(text)[1:-1] for text in texts} | {repr(text.encode())[2:-1] for text in texts}
    spelt = set()
    for text in texts:
        for code in ENCODINGS:
            with suppress(UnicodeEncodeError):
                spelt.add(text.encode(code))
    return spelt


def _windows(raw: bytes) -> Any:
    if len(raw) < WINDOW:
        return np.empty(0, np.uint32)
    single = np.frombuffer(raw, np.uint8).astype(np.uint32)
    return (single[:-3] << 24) | (single[1:-2] << 16) | (single[2:-1] << 8) | single[3:]


@dataclass(frozen=True)
class Ingested:
    """A home, what the command printed and wrote about it, and what it says of its studies."""

    home: Path
    search: ByteSearch
    descriptions: set[str]


def ingested(people: list[MadeUp], folder: Path, *words: str) -> Ingested:
    """The people's files in a new home, ingested at the command line with default settings or these words."""
    source, home = folder / "source", folder / f"home{''.join(words)}"
    if not source.exists():
        write_files(people, source)
    reports = [folder / f"report{''.join(words)}.{suffix}" for suffix in ("csv", "html")]
    told = [word for report in reports for word in ("--report", report)]
    ran = run("--home", home, "--json", "ingest", source, *told, *words)
    assert ran.json["files_embedded"] == 3 * len(people), ran.json["quarantined"]
    listed = run("--home", home, "--json", "study", "list")
    places = [*contents(home), ("said", (ran.out + ran.err + listed.out).encode())]
    places += [(report.name, report.read_bytes()) for report in reports]
    with sqlite3.connect(home / "catalog.db") as connection:
        columns = "SELECT study_description FROM studies UNION SELECT series_description FROM series"
        described = {text for (text,) in connection.execute(columns) if text}
    return Ingested(home, ByteSearch(places), described)


def check(people: list[MadeUp], folder: Path) -> None:
    """A home with default settings holds nothing of the people, and still their harmless descriptions; one
    that keeps identities is found to hold each of them.
    """
    tokens = {person.patient_id: person.tokens() for person in people}
    kept = ingested(people, folder, "--phi", "keep")
    every = {word for words in tokens.values() for word in words}
    seen = {word for _, word in kept.search.found(every)}
    for person in people:
        names = {*person.family[:1], *person.given[:1]} & tokens[person.patient_id]
        assert {person.patient_id, person.born.strftime("%Y%m%d"), *names} <= seen, person
    plain = ingested(people, folder)
    assert plain.search.found(every) == []
    assert plain.descriptions == {person.harmless for person in people}


def test_the_search_finds_words_in_any_encoding_and_case() -> None:
    """The search itself, against the plain one."""
    words = ["Sørensen", "山田やまだ", "0618345678", "Щербаков", "absent", "Abwesend"]
    places = [
        ("latin", "x Sørensen y".encode("latin-1")),
        ("upper", "SØRENSEN".encode()),
        ("wide", "Щербаков".encode("utf-16-le")),
        ("kana", "山田やまだ".encode("shift-jis")),
        ("digits", b"tel 0618345678."),
        ("short", b"abs"),
    ]
    assert ByteSearch(places).found(words) == [
        ("digits", "0618345678"),
        ("kana", "山田やまだ"),
        ("latin", "Sørensen"),
        ("upper", "Sørensen"),
        ("wide", "Щербаков"),
    ]


def test_made_up_people_are_of_all_scripts_and_have_many_tokens() -> None:
    people = made_up(200)
    assert {person.script for person in people} == set(SCRIPTS)
    assert len(SCRIPTS) >= 12
    assert len({person.patient_id for person in people}) == 200
    assert min(len(person.tokens()) for person in people) >= 10


def test_a_home_holds_nothing_of_a_few_made_up_people(tmp_path: Path) -> None:
    check(made_up(len(SCRIPTS)), tmp_path)


@pytest.mark.campaign
def test_a_home_holds_nothing_of_two_hundred_made_up_people(tmp_path: Path) -> None:
    check(made_up(200), tmp_path)
