"""Finds words in the files of a home, as they are and unpacked, and in printed output."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# What a header, a catalogue, a Parquet file or a library's message may spell a word in.
ENCODINGS = (
    "utf-8",
    "utf-16-le",
    "utf-16-be",
    "latin-1",
    "iso8859-5",
    "iso8859-7",
    "shift-jis",
    "iso2022_jp",
    "euc_kr",
    "gb18030",
)


def contents(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a home as it is, and what it holds once it is unpacked, by name."""
    for path in sorted(p for p in home.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        yield path.name, raw
        yield f"name of {path.name}", str(path.relative_to(home)).encode()
        if path.suffix == ".parquet":
            yield from _columns(path)
            yield f"schema of {path.name}", repr(pq.read_schema(path)).encode()
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                yield f"arrays of {path.name}", b"".join(array.tobytes() for array in arrays.values())
        elif raw[:2] in (b"\x1f\x8b", b"\x78\x9c"):
            yield f"inside {path.name}", zlib.decompress(raw, 47)
    with sqlite3.connect(home / "catalog.db") as connection:
        yield "dump", "\n".join(connection.iterdump()).encode("utf-8", "surrogatepass")


def _columns(path: Path) -> Iterator[tuple[str, bytes]]:
    """The values of a Parquet file: of numbers the bytes, for their many digits hold any number by chance."""
    table = pq.read_table(path)
    for field in table.schema:
        column = table[field.name].combine_chunks()
        is_list = pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type)
        vectors = is_list and pa.types.is_floating(field.type.value_type)
        data = column.flatten().to_numpy().tobytes() if vectors else repr(column.to_pylist()).encode()
        yield f"{field.name} of {path.name}", data


def found(words: Iterable[str], places: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Places of words in any encoding, case or notation, with the word."""
    spelt = {word: _spellings(word) for word in words}
    leaks = []
    for place, raw in places:
        folded = raw.lower()
        leaks += [
            (place, word)
            for word, spellings in spelt.items()
            if any(one in raw or one in folded for one in spellings)
        ]
    return leaks


def found_in_home(words: Iterable[str], home: Path, *said: str) -> list[tuple[str, str]]:
    """The words that a home or an output holds, and where."""
    return found(words, [*contents(home), *(("said", text.encode("utf-8", "replace")) for text in said)])


def _spellings(word: str) -> set[bytes]:
    texts = {word, word.lower(), word.upper()}
    texts |= {json.dumps(text)[1:-1] for text in texts} | {repr(text.encode())[2:-1] for text in texts}
    spelt = {text.encode(code, "ignore") for text in texts for code in ENCODINGS}
    # Letters that an encoding lacks are left out, so the rest may match by chance.
    return {one for one in spelt if len(one) > 3 and (not word.isascii() or len(one) >= len(word))}
