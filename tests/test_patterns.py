"""Every regular expression of the packages takes steps that grow with the text alone.

Two unbounded repeats next to each other that take the same characters, one within another, or one at the
beginning of what is searched from every place: each of them costs the square of the text, or more. Every
repeat is given long runs of all characters that it takes, and an end that does not match.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from re import _constants as op
from typing import Any

import pytest

from tests.backtracking import Stepper, TooManyStepsError, accepts, everything, is_bounded
from tests.import_graph import module_name, source_files
from tests.repository import ROOT

CALLS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
FLAGS_AT = {"compile": 1, "match": 2, "fullmatch": 2, "search": 2, "findall": 2, "finditer": 2}
SHORT, TIMES = 60, 4
# Steps of a text that is four times as long; the square would be sixteen times.
MOST = 1.5 * TIMES
# Patterns that are made while the program runs, with one for each place.
MADE: dict[str, list[str | bytes]] = {
    "index/engines/milvus/milvus_engine.py": [r"medsiglip_0a1b_(\d+)_(?:image|series|study)"],
    "index/storage/forgotten.py": [
        r"(?<![\w.])1\.2\.3(?!\w|\.\w)|(?<![\w.])key7(?!\w|\.\w)",
        r"(?<![\d.])1\.2\.3(?!\d|\.\d)|(?<![\d.])1\.2\.34(?!\d|\.\d)",
        r"four\ words\ or\ more|(?<![\d.])1\.2\.3(?!\d|\.\d)",
    ],
    "ingest/slides/tiles.py": [rb"(?s)\xfe\xff\x00\xe0(.{4})", rb"(?s)\xfe\xff\x00\xe0(.{8})"],
    "medgemma/exports/passages.py": [r"(?<![0-9.])(?:1\.2\.3|1\.2)(?![0-9]|\.[0-9])"],
}
# Patterns that see no text from outside.
OWN = {r"<script>(.*?)</script>": "the page of Swagger UI, which FastAPI makes"}


@dataclass(frozen=True)
class Pattern:
    """A pattern where it stands, None for one that is made at run time, and the methods it is used by."""

    place: str
    source: str | bytes | None
    flags: int = 0
    methods: frozenset[str] = frozenset(["search"])

    def __str__(self) -> str:
        return self.place


def patterns() -> Iterator[Pattern]:
    for file in source_files():
        yield from patterns_of(file)


def patterns_of(file: PurePosixPath) -> Iterator[Pattern]:
    source = (ROOT / file).read_text(encoding="utf-8")
    if "re." not in source:
        return  # to parse every file takes seconds, whenever tests are collected
    tree = ast.parse(source)
    named = {
        node.value: node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        function, owner = node.func.attr, node.func.value
        if not (isinstance(owner, ast.Name) and owner.id == "re" and function in CALLS):
            continue
        place, name = f"{file}:{node.lineno}", named.get(node)
        methods = used(tree, name) if name else frozenset([function])
        if name and function == "compile":
            made = getattr(importlib.import_module(module_name(file)), name)
            yield Pattern(place, made.pattern, made.flags & ~re.UNICODE, methods)
        elif isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str | bytes):
            yield Pattern(place, node.args[0].value, flags_of(node, function), methods)
        else:
            yield Pattern(str(file), None)


def flags_of(call: ast.Call, function: str) -> int:
    at = FLAGS_AT.get(function)
    given = [one.value for one in call.keywords if one.arg == "flags"]
    given += call.args[at : at + 1] if at else []
    return int(eval(ast.unparse(given[0]), {"re": re})) if given else 0


def used(tree: ast.Module, name: str) -> frozenset[str]:
    """The methods of a pattern that its module calls; searching, where it hands it on."""
    found = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }
    return frozenset(found & CALLS or {"search"})


ALL = list(patterns())
GIVEN = [one for one in ALL if one.source is not None and one.source not in OWN]
MADE_ONES = [Pattern(file, source) for file, sources in MADE.items() for source in sources]


def test_patterns_made_at_run_time_are_listed() -> None:
    found: dict[str, int] = {}
    for one in ALL:
        if one.source is None:
            found[one.place] = found.get(one.place, 0) + 1
    assert found == {file: len(sources) for file, sources in MADE.items()}


def alphabet(tree: Any, flags: int) -> list[str]:
    """Characters that the pattern tells apart."""
    pool = {" ", "\t", "\n", "a", "Z", "1", "_", ".", "é", "\x01"}
    for kind, value in everything(tree):
        if kind in (op.LITERAL, op.NOT_LITERAL):
            pool.add(chr(value))
        elif kind is op.IN:
            pool |= {chr(one[1]) for one in value if one[0] is op.LITERAL}
            pool |= {chr(end) for one in value if one[0] is op.RANGE for end in one[1]}
    return sorted(pool)[:40]


def sample(nodes: Any, flags: int, target: Any = None, run: str = "") -> tuple[str, bool]:
    """A short text that the nodes match, with `run` in place of the repeat `target`, where it ends."""
    text = ""
    for node in nodes:
        kind, value = node
        if node is target:
            return text + run, True
        inner: list[Any] = []
        if kind is op.LITERAL:
            text += chr(value)
        elif kind in (op.NOT_LITERAL, op.ANY, op.IN):
            text += next((one for one in map(chr, range(32, 0x3000)) if accepts(node, one, flags)), "\n")
        elif kind is op.BRANCH:
            inner = [one for one in value[1] if holds(one, target)] or value[1][:1]
        elif kind is op.ATOMIC_GROUP:
            inner = [value]
        elif kind is op.SUBPATTERN or (kind is op.ASSERT and value[0] < 0):
            inner = [value[-1]]
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            inner = [value[-1]] * max(value[0], int(holds(value[-1], target)))
        for one in inner:
            more, ended = sample(one, flags, target, run)
            text += more
            if ended:
                return text, True
    return text, False


def holds(nodes: Any, target: Any) -> bool:
    return any(node is target for node in everything(nodes))


def attacks(tree: Any, flags: int, size: int) -> Iterator[str]:
    """Texts of about `size` characters on which a pattern may go wrong."""
    whole, _ = sample(tree, flags)
    starts = {whole, whole[:-1]}
    for node in everything(tree):
        if node[0] not in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT) or node[1][1] <= 1:
            continue
        body = node[1][2]
        if len(body) == 1 and body[0][0] in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            runs = [one for one in alphabet(tree, flags) if accepts(body[0], one, flags)]
        else:
            runs = [sample(body, flags)[0] or "a"]
        before, _ = sample(tree, flags, node, "")
        for run in runs[:8]:
            starts.add(before + run)
            long = run * (size // len(run))
            yield from (before + long + "\x01", "\x01" + long + " \x01", before + long + "\n")
    yield from (start * (size // len(start)) + "\x01" for start in sorted(starts - {""}))


def count(stepper: Stepper, pattern: Pattern, text: str, most: int) -> int:
    """The steps of the costliest of the methods; at most `most` and one are counted."""
    counts = []
    for method in pattern.methods - {"compile"}:
        try:
            if method in ("match", "fullmatch"):
                stepper.match(text, most, full=method == "fullmatch")
            else:
                for _ in stepper.found(text, most):
                    pass
        except TooManyStepsError:
            return most + 1
        counts.append(stepper.steps)
    return max(counts)


def growth(pattern: Pattern) -> tuple[str, int, int] | None:
    """A text that costs too much, with the steps of the short and of the long one, if there is one."""
    assert pattern.source is not None
    stepper = Stepper(pattern.source, pattern.flags)
    if is_bounded(stepper.tree):
        return None
    pairs = (attacks(stepper.tree, stepper.flags, size) for size in (SHORT, SHORT * TIMES))
    for short, long in zip(*pairs, strict=True):
        few = count(stepper, pattern, short, 20_000)
        allowed = int(MOST * few) + 200
        if (many := count(stepper, pattern, long, allowed)) > allowed:
            return short, few, many
    return None


@pytest.fixture(autouse=True)
def deep() -> Iterator[None]:
    former = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(former)


@pytest.mark.parametrize("pattern", [*GIVEN, *MADE_ONES], ids=str)
def test_steps_grow_linearly(pattern: Pattern) -> None:
    assert growth(pattern) is None


@pytest.mark.parametrize(
    ("source", "method"),
    [
        (r"\s*([^=<>!]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", "fullmatch"),
        (r"\s*label:\s*(.+?)\s*(!=|<=|>=|=|<|>)\s*([^=<>!]*?)\s*", "fullmatch"),
        (r"\d+\.?\d*", "fullmatch"),
        (r"(?:a|a)*b", "match"),
        (r"(\w+\s?)*$", "match"),
        (r"[ \t]+$", "sub"),
        (r"[.!?]+(?=\s|$)", "finditer"),
        (r"([?&][^=&]*pass[^=&]*=)[^&#]*", "sub"),
        (r"(?<=://)([^:/@?#]*):.*@", "sub"),
        (r"(\d*)-(\d*)", "findall"),
        (r"<script>(.*?)</script>", "findall"),
    ],
)
def test_expensive_patterns_are_found(source: str, method: str) -> None:
    found = growth(Pattern("here", source, methods=frozenset([method])))
    assert found is not None


@pytest.mark.long(every=4)
@pytest.mark.parametrize("one", GIVEN, ids=str)
def test_the_step_counter_matches_like_re(one: Pattern) -> None:
    source: Any = one.source
    stepper = Stepper(source, one.flags)
    compiled = re.compile(source, one.flags)
    for text in list(attacks(stepper.tree, stepper.flags, 12))[:40]:
        if isinstance(source, bytes) and not all(ord(c) < 256 for c in text):
            continue
        found = compiled.search(text.encode("latin-1") if isinstance(source, bytes) else text)
        assert stepper.search(text) == (found and found.span()), text
