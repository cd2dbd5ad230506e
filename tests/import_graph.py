"""The project's own imports, read from its sources: which file takes something from which."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath

from tests.repository import ROOT, packaged

PACKAGES = ("medsiglip", "index", "ingest", "medgemma", "phantoms", "api")
# The face names what programs use of all packages, and imports it only when they do: no arrow of the graph.
FACE = PurePosixPath("medsiglip/__init__.py")


@cache
def source_files() -> tuple[PurePosixPath, ...]:
    """Every Python file of the packages, relative to the repository."""
    found = (path for package in PACKAGES for path in packaged(ROOT / package, "*.py"))
    return tuple(sorted(PurePosixPath(path.relative_to(ROOT).as_posix()) for path in found))


def module_name(file: PurePosixPath) -> str:
    """The name that imports a file: all of them begin with `medsiglip`."""
    parts = [part for part in file.with_suffix("").parts if part != "__init__"]
    return ".".join(parts if parts[0] == "medsiglip" else ["medsiglip", *parts])


@cache
def imports() -> Mapping[PurePosixPath, frozenset[PurePosixPath]]:
    """The files that each file but the face imports, wherever in it the import stands; type checks
    included.
    """
    files = {module_name(file): file for file in source_files()}
    return {
        file: frozenset(files[name] for name in _imported_names(file, files) if files[name] != file)
        for file in source_files()
        if file != FACE
    }


def _imported_names(file: PurePosixPath, known: Mapping[str, PurePosixPath]) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from (one for one in (name if name in known else node.module,) if one in known)


def siblings(folder: PurePosixPath) -> dict[str, dict[str, set[str]]]:
    """The files and folders in `folder` that import from each other: from, to, and by which imports.

    An import between two files counts for the children of `folder` that hold them.
    """
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for importer, imported in imports().items():
        here = _child(folder, importer)
        for other in imported:
            there = _child(folder, other)
            if here is not None and there is not None and here != there:
                found[here][there].add(f"{importer} imports {other}")
    return found


def _child(folder: PurePosixPath, file: PurePosixPath) -> str | None:
    return file.relative_to(folder).parts[0] if file.is_relative_to(folder) else None


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The nodes of each circle of a graph: its strongly connected components of more than one node."""
    reached = {node: _reachable(graph, node) for node in graph}
    found = {
        tuple(sorted(other for other in reached[node] if node in reached.get(other, ()))) for node in graph
    }
    return sorted(list(nodes) for nodes in found if len(nodes) > 1)


def _reachable(graph: Mapping[str, Iterable[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for node in graph.get(waiting.pop(), ()):
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return seen
