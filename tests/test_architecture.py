"""The import arrow between packages and within each, the sizes of folders and files, and that importing a
module does no work.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from mypy.main import process_options

from tests.import_graph import PACKAGES, circles, imports, module_name, siblings, source_files
from tests.repository import ROOT, packaged
from tests.type_check import CHECKED_FOLDERS, link_tree

ALLOWED: dict[str, set[str]] = {
    "medsiglip": set(),
    "index": set(),
    "ingest": {"medsiglip", "index"},
    "medgemma": {"medsiglip", "index"},
    "phantoms": {"medsiglip", "index", "ingest"},
    "api": {"medsiglip", "index", "ingest", "medgemma", "phantoms"},
}
MOST_FILES = 25
MOST_LINES = 400
FORBIDDEN_NAMES = {"utils", "common", "helpers", "manager", "base"}
STARTING = re.compile(
    r"subprocess\.(Popen|run|call|check_call|check_output|getoutput|getstatusoutput)$"
    r"|os\.(exec|spawn|posix_spawn|fork|system|popen|startfile)|pty\.(fork|spawn)|runpy"
    r"|asyncio\.(create_)?subprocess|concurrent\.futures\.(ProcessPoolExecutor|process)|multiprocessing"
)


def folders() -> list[PurePosixPath]:
    return sorted({folder for file in source_files() for folder in file.parents})


def python_files() -> list[Path]:
    return [
        path for top in (*PACKAGES, "tests", "benchmarks") for path in sorted(packaged(ROOT / top, "*.py"))
    ]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{file} imports {imported}"
        for file, found in imports().items()
        for imported in found
        if file.parts[0] == package and imported.parts[0] not in {package, *ALLOWED[package]}
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", folders(), ids=str)
def test_files_and_folders_beside_each_other_import_in_no_circle(folder: PurePosixPath) -> None:
    graph = siblings(folder)
    if folder == PurePosixPath("."):
        assert set(graph) <= set(PACKAGES)
    assert circles(graph) == [], {
        (here, there): sorted(graph[here][there]) for one in circles(graph) for here in one for there in one
    }


def test_a_circle_is_found() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [["a", "b", "c"]]
    assert circles({"a": ["b"], "b": [], "d": ["d", "a"]}) == []


def test_private_files_and_names_are_used_in_their_own_folder() -> None:
    """A module with an underscore belongs to its folder, a name with one to its module."""
    modules = [
        f"{file} imports {imported}"
        for file, found in imports().items()
        for imported in found
        if imported.name.startswith("_") and imported.name != "__init__.py" and imported.parent != file.parent
    ]
    names = [f"{file}:{line} takes {name}" for file in source_files() for line, name in private_names(file)]
    assert modules + names == []


def private_names(file: PurePosixPath) -> Iterator[tuple[int, str]]:
    """Where a file imports names with an underscore from other files of ours."""
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "medsiglip":
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith("_"))


def test_a_folder_is_taken_in_at_a_glance_and_a_file_in_one_reading() -> None:
    files = python_files()
    counts = Counter(path.parent for path in files)
    assert {str(folder): n for folder, n in counts.items() if n > MOST_FILES} == {}
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: n for path, n in lengths.items() if n > MOST_LINES} == {}


def test_every_folder_says_what_lives_in_it_and_is_installed() -> None:
    found = {module_name(file): file for file in source_files() if file.name == "__init__.py"}
    assert {file.parent for file in source_files()} == {file.parent for file in found.values()}
    for file in found.values():
        assert ast.get_docstring(ast.parse((ROOT / file).read_text(encoding="utf-8"))), file
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert sorted(setuptools["packages"]) == sorted(found)
    assert {name: Path(folder) for name, folder in setuptools["package-dir"].items()} == {
        module_name(PurePosixPath(package, "__init__.py")): Path(package) for package in PACKAGES
    }


def test_no_file_imports_a_package_by_its_folder_s_name() -> None:
    """`import index` works in the repository, and nowhere else."""
    folder_names = set(PACKAGES) - {"medsiglip"}
    suspect = re.compile(rf"(?:\b(?:import|from)|,)[\s\\]+(?:{'|'.join(folder_names)})\b")
    for path in python_files():
        source = path.read_text(encoding="utf-8")
        if not suspect.search(source):
            continue  # to parse all files takes seconds
        for node in ast.walk(ast.parse(source)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not folder_names.intersection(name.split(".")[0] for name in names), path


def test_no_module_has_a_name_that_says_nothing() -> None:
    for file in source_files():
        assert file.stem.lstrip("_") not in FORBIDDEN_NAMES, file


def test_mypy_is_given_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make lint` compares the number that it has checked."""
    monkeypatch.chdir(ROOT)
    expected = link_tree()
    sources, _ = process_options(list(CHECKED_FOLDERS))
    given = {Path(source.path).resolve() for source in sources if source.path}
    assert given == {path.resolve() for path in python_files()}
    assert len(sources) == expected


def started_processes(source: str) -> list[str]:
    """The dotted names by which a module may start processes: what it imports, and what it calls of that."""
    tree = ast.parse(source)
    named: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            named |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    whole = [named.get(first, first) + dot + rest for first, dot, rest in (c.partition(".") for c in called)]
    return [name for name in (*named.values(), *whole) if STARTING.match(name)]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import subprocess\nsubprocess.run(['ls'])", "subprocess.run"),
        ("import subprocess as s\ns.Popen(['ls'])", "subprocess.Popen"),
        ("def f():\n    from subprocess import check_output", "subprocess.check_output"),
        ("import os\nos.execv('ls', [])", "os.execv"),
        ("from os import posix_spawn as p", "os.posix_spawn"),
        ("import asyncio\nasyncio.create_subprocess_exec('ls')", "asyncio.create_subprocess_exec"),
        ("import multiprocessing", "multiprocessing"),
        ("from multiprocessing.pool import Pool", "multiprocessing.pool.Pool"),
        ("from concurrent import futures\nfutures.ProcessPoolExecutor()", "concurrent.futures.Process"),
        ("from concurrent.futures import ProcessPoolExecutor", "concurrent.futures.Process"),
        ("import concurrent.futures\nconcurrent.futures.ProcessPoolExecutor()", "concurrent.futures.Process"),
    ],
)
def test_whatever_starts_a_process_is_found(source: str, name: str) -> None:
    assert any(found.startswith(name) for found in started_processes(source))


def test_processes_are_started_in_one_file() -> None:
    """What waits for a process or ends it may be anywhere."""
    waits = "import os, subprocess\nfrom concurrent.futures import Future\nx: subprocess.Popen\nos.kill(1, 2)"
    assert started_processes(waits) == []
    sources = {file: (ROOT / file).read_text(encoding="utf-8") for file in source_files()}
    found = {file: names for file, source in sources.items() if (names := started_processes(source))}
    assert found.keys() == {PurePosixPath("ingest/child_process.py")}, found


# What computes with torch, or makes the demonstration model with it.
HEAVY = (
    "medsiglip.encoder",
    "medsiglip.model",
    "medsiglip.patches.pooled_parts",
    "medsiglip.tuning",
    "medsiglip.checkpoint_writer",
    "medsiglip.initial_weights",
    "medsiglip.probes",
    "medsiglip.phantoms.checkpoint",
    "medsiglip.index.catalogue.migrations",
    "medsiglip.api.cli.__main__",
)


def test_worker_processes_and_metadata_paths_never_import_torch() -> None:
    light = [name for name in map(module_name, source_files()) if not name.startswith(HEAVY)]
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}: importlib.import_module(name)\n"
        "print([m for m in ('torch', 'open_clip', 'timm', 'faiss') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


WATCH = """
import importlib, json, os, sys
root, names = sys.argv[1], sys.argv[2:]
import torch, open_clip, timm, sqlalchemy, pydicom, pydicom.pixels, typer, rich, numpy
import PIL.Image, pydantic_settings
found = []
def ours(frame):
    # where the innermost frame of our own code is, leaving out the import machinery between
    while frame:
        name = frame.f_code.co_filename
        if not (name.startswith("<frozen importlib") or name.endswith(("os.py", "_collections_abc.py"))):
            own = name.startswith(root + os.sep) and ".venv" not in name
            return own and f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return False
def hook(event, args):
    if event == "open" and isinstance(args[0], str) and not args[0].endswith((".py", ".pyc", ".so")):
        place = ours(sys._getframe(1))
        if place: found.append(f"{place} opens a file")
    elif event in ("subprocess.Popen", "socket.connect", "os.mkdir", "sqlite3.connect"):
        found.append(event)
real = os._Environ.__getitem__
def read(self, key):
    place = ours(sys._getframe(1))
    if place: found.append(f"{place} reads the environment ({key})")
    return real(self, key)
os._Environ.__getitem__ = read
sys.addaudithook(hook)
for name in names: importlib.import_module(name)
found, done = list(found), found
print(json.dumps(found))
"""


def test_importing_opens_no_file_and_reads_no_environment() -> None:
    names = [name for name in map(module_name, source_files()) if not name.endswith("__main__")]
    names = [name for name in names if not name.startswith("medsiglip.index.catalogue.migrations.")]
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, str(ROOT), *names],  # -B: the interpreter would make __pycache__
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
