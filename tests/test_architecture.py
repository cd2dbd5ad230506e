"""The import arrow of the packages, and that importing a module does no work."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import ROOT

ALLOWED = {
    "medsiglip": set(),
    "index": set(),
    "ingest": {"medsiglip", "index"},
    "medgemma": {"medsiglip", "index"},
    "api": {"medsiglip", "index", "ingest", "medgemma"},
}
FORBIDDEN_NAMES = {"utils", "common", "helpers", "manager", "base"}
STARTING = re.compile(
    r"subprocess\.(Popen|run|call|check_call|check_output|getoutput|getstatusoutput)$"
    r"|os\.(exec|spawn|posix_spawn|fork|system|popen|startfile)|pty\.(fork|spawn)|runpy"
    r"|asyncio\.(create_)?subprocess|concurrent\.futures\.(ProcessPoolExecutor|process)|multiprocessing"
)


def modules(package: str) -> list[Path]:
    return sorted(p for p in (ROOT / package).rglob("*.py") if "__pycache__" not in p.parts)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str) -> None:
    ours = set(ALLOWED)
    for path in modules(package):
        wrong = (imported_packages(path) & ours) - ALLOWED[package] - {package}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    for package in ALLOWED:
        for path in modules(package):
            assert path.stem.lstrip("_") not in FORBIDDEN_NAMES, path


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
    sources = {path: path.read_text(encoding="utf-8") for package in ALLOWED for path in modules(package)}
    found = {path: names for path, source in sources.items() if (names := started_processes(source))}
    assert found.keys() == {ROOT / "ingest" / "child_process.py"}, found


def test_worker_processes_and_metadata_paths_never_import_torch() -> None:
    light = [dotted(p) for name in ("index", "ingest", "api") for p in modules(name)]
    light = [
        m
        for m in light
        if not m.startswith(
            ("medsiglip.index.catalogue.migrations", "medsiglip.phantoms.checkpoint.make_checkpoint")
        )
    ]
    light += [
        "medsiglip",
        "medsiglip.checkpoint",
        "medsiglip.preprocess",
        "medsiglip.zeroshot",
        "medsiglip.figures.metrics",
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}: importlib.import_module(name)\n"
        "print([m for m in ('torch', 'open_clip', 'timm', 'faiss') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


WATCH = """
import importlib, json, os, sys, traceback
root, names = sys.argv[1], sys.argv[2:]
import torch, open_clip, timm, sqlalchemy, pydicom, pydicom.pixels, typer, rich, numpy
import PIL.Image, pydantic_settings
found = []
def ours(stack):
    # the innermost frame of our own code that is running, leaving out the import machinery between
    for frame in reversed(stack):
        name = frame.filename
        if name.startswith("<frozen importlib") or name.endswith(("os.py", "_collections_abc.py")):
            continue
        return frame.filename.startswith(root + os.sep) and ".venv" not in frame.filename and frame
    return False
def hook(event, args):
    if event == "open" and isinstance(args[0], str) and not args[0].endswith((".py", ".pyc", ".so")):
        frame = ours(traceback.extract_stack()[:-1])
        if frame: found.append(f"{frame.filename}:{frame.lineno} opens a file")
    elif event in ("subprocess.Popen", "socket.connect", "os.mkdir", "sqlite3.connect"):
        found.append(event)
real = os._Environ.__getitem__
def read(self, key):
    frame = ours(traceback.extract_stack()[:-1])
    if frame: found.append(f"{frame.filename}:{frame.lineno} reads the environment ({key})")
    return real(self, key)
os._Environ.__getitem__ = read
sys.addaudithook(hook)
for name in names: importlib.import_module(name)
found, done = list(found), found
print(json.dumps(found))
"""


def test_importing_opens_no_file_and_reads_no_environment() -> None:
    names = [dotted(p) for package in ALLOWED for p in modules(package)]
    names = [
        n for n in names if not n.endswith("__main__") and n != "medsiglip.index.catalogue.migrations.env"
    ]
    names = [n for n in names if not n.startswith("medsiglip.index.catalogue.migrations.versions.")]
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, str(ROOT), *names],  # -B: the interpreter would make __pycache__
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
