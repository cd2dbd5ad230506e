"""What the shell offers at Tab, without loading the model or changing the home."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import typer

from medsiglip.api.cli import completion
from tests.api.conftest import Home, run

CODE = """
import io, json, os, sys
from contextlib import redirect_stdout, suppress
from medsiglip.api.cli.main import main

answers = []
for line in sys.argv[1:]:
    os.environ |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    with redirect_stdout(io.StringIO()) as out, suppress(SystemExit):
        main([])
    answers.append(out.getvalue().split())
heavy = [one for one in ("torch", "open_clip", "transformers") if one in sys.modules]
print(json.dumps([answers, heavy]))
"""
OFFERED = {
    "medsiglip st": ["study"],
    "medsiglip report acc": ["accept"],
    "medsiglip classify --prompts t": ["tcga-study-type", "tissue-type"],
    "medsiglip evaluate zero-shot --prompts chest": ["chest-xray"],
    "medsiglip probe show n": ["naevi"],
    "medsiglip evaluate probe ": ["naevi"],
    "medsiglip route show ": ["chests"],
    "medsiglip report draft 1.2 --route ch": ["chests"],
}


def completed(home: Path, *lines: str) -> tuple[list[list[str]], list[str]]:
    """What bash would offer at the end of each line, and the heavy modules that were loaded for it, by one
    process.
    """
    environment = {**os.environ, "MEDSIGLIP_HOME": str(home), "_MEDSIGLIP_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", CODE, *lines]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    answers, heavy = json.loads(done.stdout)
    return answers, heavy


@pytest.fixture(scope="module")
def taught(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a probe and a route."""
    import shutil

    path = tmp_path_factory.mktemp("taught") / "home"
    shutil.copytree(home.path, path)
    assert run("--home", path, "probe", "train", "naevi", "--label", "melanoma").code == 0
    rules = path.parent / "routes.toml"
    rules.write_text('[chests]\nmodality = ["CR", "DX"]\nstudies = "all"\n')
    assert run("--home", path, "route", "add", rules).code == 0
    return path


def test_the_shell_completes_names_without_the_model(taught: Path) -> None:
    answers, heavy = completed(taught, *OFFERED)
    assert dict(zip(OFFERED, answers, strict=True)) == OFFERED
    assert heavy == []


def test_completion_only_reads_the_home(taught: Path) -> None:
    """Also one of an earlier version, which a command would migrate."""

    def revision(new: str = "") -> str:
        with closing(sqlite3.connect(taught / "catalog.db")) as connection, connection:
            if new:
                connection.execute("UPDATE alembic_version SET version_num = ?", (new,))
            return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])

    now = revision()
    assert revision("0005") < now
    before = {path: path.stat().st_mtime_ns for path in taught.rglob("*")}
    context = cast(
        "typer.Context", SimpleNamespace(find_root=lambda: SimpleNamespace(params={"home": taught}))
    )
    assert (completion.probes(context, "n"), completion.routes(context, "")) == (["naevi"], ["chests"])
    assert {path: path.stat().st_mtime_ns for path in taught.rglob("*")} == before
    assert revision(now) == now


def test_no_names_are_offered_where_there_is_no_archive(tmp_path: Path) -> None:
    assert completed(tmp_path / "none", "medsiglip probe show ") == ([[]], [])
    assert not (tmp_path / "none").exists()


def test_completion_is_shown_and_installed(tmp_path: Path) -> None:
    def ran(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "medsiglip.api.cli", *words],
            capture_output=True,
            text=True,
            # Typer's own switch: else the shell is that of the process that runs the tests, if it has one.
            env={**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
            check=True,
        )
        return done.stdout

    assert "_MEDSIGLIP_COMPLETE=complete_bash" in ran("--show-completion", "bash")
    assert "installed" in ran("--install-completion", "bash")
    assert "medsiglip" in (tmp_path / ".bash_completions" / "medsiglip.sh").read_text()
