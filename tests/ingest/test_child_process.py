"""What processes of our own import from, and what they inherit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.child_process import process_pool, start_module
from tests.repository import ROOT

# Found through PYTHONPATH; its own child is started as anybody would.
TOLD = """
import json, os, subprocess, sys
told = {"path": sys.path, "words": sys.argv[1:], "session": os.getsid(0), "environment": dict(os.environ)}
if sys.argv[1:] != ["grandchild"]:
    for how in (["-c", "import sys; print(sys.path)"], ["-m", "told", "grandchild"]):
        done = subprocess.run([sys.executable, *how], capture_output=True, text=True)
        told[how[0]] = done.stdout + done.stderr
print(json.dumps(told))
"""


@pytest.fixture
def current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which nothing may be imported."""
    folder = tmp_path / "current"
    folder.mkdir()
    for name in ("json", "pickle", "random", "struct", "told"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'a').close()\n1 / 0")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "told.py").write_text(TOLD)
    monkeypatch.chdir(folder)
    return folder


def told(*words: str, **given: Any) -> dict[str, Any]:
    out, _ = start_module("told", words, **given).communicate(timeout=60)
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize("entries", ["{own}", ":{own}", "{own}:", ":{own}::.:", "../current:./:{own}"])
def test_no_child_and_no_grandchild_imports_from_the_current_folder(
    current: Path, entries: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = str(current.parent / "own")
    monkeypatch.setenv("PYTHONPATH", entries.format(own=own))
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    child = told("a", "b c")
    assert child["words"] == ["a", "b c"]
    assert child["path"][:2] == [str(ROOT), own]
    for found in (child["path"], json.loads(child["-m"])["path"]):
        assert not {"", ".", str(current), os.path.realpath(current)} & set(found)
    assert child["-c"].startswith(f"['{ROOT}', '{own}', ")
    assert not (current.parent / "mark").exists()


def test_what_a_child_inherits(current: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(current.parent / "own"))
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("TWO", "2")
    child = told(environment={"TWO": "two", "THREE": "3"})
    assert [child["environment"].get(name) for name in ("ONE", "TWO", "THREE")] == ["1", "two", "3"]
    assert child["session"] != os.getsid(0)
    assert "PYTHONSAFEPATH" not in os.environ


def test_a_descriptor_is_handed_on(current: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = current.parent / "own"
    (own / "writes.py").write_text("import os, sys\nos.write(int(sys.argv[1]), sys.stdin.buffer.read())")
    monkeypatch.setenv("PYTHONPATH", str(own))
    source, sink = os.pipe()
    with open(source, "rb") as read:
        child = start_module("writes", [str(sink)], descriptors=[sink], stdout=subprocess.DEVNULL)
        os.close(sink)
        child.communicate(b"through both pipes", timeout=60)
        assert read.read() == b"through both pipes"
    assert child.stdout is None


POOL = """
import os, sys
if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    os.environ["PYTHONPATH"] = sys.argv[2]
    from medsiglip.ingest.child_process import process_pool
    before = dict(os.environ)
    with process_pool(2) as pool:
        print(list(pool.map(os.getenv, ["PYTHONSAFEPATH", "PYTHONPATH"])))
    assert dict(os.environ) == before
"""


def test_a_pool_imports_nothing_from_the_current_folder(current: Path) -> None:
    """In a program of its own: the process that looks after a pool's semaphores is started but once."""
    script = current.parent / "own" / "script.py"
    script.write_text(POOL)
    done = subprocess.run(
        [sys.executable, "-P", str(script), str(ROOT), ":/elsewhere:.:"], capture_output=True, text=True
    )
    assert done.stdout == f"['1', '{ROOT}:/elsewhere']\n", done.stderr
    assert done.stderr == ""
    assert not (current.parent / "mark").exists()


def test_a_pool_that_fails_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "relative")
    within: dict[str, str] = {}

    def fail() -> None:
        with process_pool(1):
            within.update(os.environ)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (within["PYTHONPATH"], within["PYTHONSAFEPATH"]) == (str(ROOT), "1")
    assert os.environ["PYTHONPATH"] == "relative"
    assert "PYTHONSAFEPATH" not in os.environ
