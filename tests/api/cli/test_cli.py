from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer

from medsiglip.api.cli.main import app
from tests.api.conftest import Home, run


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name)


ALL = list(commands(typer.main.get_command(app)))
GROUPS = sorted({words[:1] for words in ALL if len(words) > 1})


def test_the_commands() -> None:
    assert {" ".join(words) for words in ALL} == {
        *("demo", "ingest", "search", "classify", "why", "embed", "render", "tune", "forget", "doctor"),
        *("study list", "study show", "label import", "label list"),
        *("label undo", "label history", "label queue", "label agreement", "label curve"),
        *("index info", "index verify", "index rebuild", "index compact", "index recover", "index export"),
        *("index tune", "index reembed", "index drop-space", "index thumbnails"),
        *("evaluate retrieval", "evaluate zero-shot", "evaluate probe"),
        *("evaluate drift", "evaluate robustness"),
        *("probe train", "probe list", "probe show", "probe predict", "probe card", "probe suspects"),
        *("probe export", "probe import", "probe delete", "probe suggest"),
        *("map make", "map show", "map list", "map place", "map outliers", "map duplicates"),
        *("calibrate list", "calibrate show", "calibrate remove"),
        *("keys create", "keys list", "keys revoke", "serve", "worker"),
        *(
            "audit verify",
            "audit list",
            "audit export",
            "audit forward",
            "keys rotate-secret",
            "config show",
            "backup",
        ),
        *("viewer add", "viewer list", "viewer remove"),
        *("pacs add", "pacs list", "pacs remove", "pacs echo", "pacs find"),
        *("pacs pull", "pacs sync", "pacs status", "pacs retry", "pacs send", "receive"),
        *("pacs fetch", "pacs release"),
        *("report draft", "report show", "report list", "report accept", "report edit", "report reject"),
        *("report export", "report import", "route list", "route show", "route add", "route remove"),
        *("route test", "route run", "route export"),
    }


def test_the_version_is_that_of_the_installed_package() -> None:
    assert run("--version").out == f"medsiglip {metadata.version('medsiglip')}\n"


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_help_shows_an_example_of_its_command(words: tuple[str, ...]) -> None:
    shown = run(*words, "--help")
    assert shown.code == 0
    assert "Example: medsiglip" in shown.out
    assert " ".join(words) in shown.out.split("Example:")[1]


@pytest.mark.parametrize("words", GROUPS, ids=" ".join)
def test_every_group_shows_examples_of_commands_that_exist(words: tuple[str, ...]) -> None:
    shown = run(*words, "--help").out
    examples = [
        line.partition("medsiglip ")[2].split()[:2] for line in shown.splitlines() if "medsiglip " in line
    ]
    found = [tuple(example) for example in examples if example[0] == words[0] and len(example) == 2]
    assert len([example for example in found if example in ALL]) == 2, shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from medsiglip.api.cli.main import main; main(['--help']); main(['search', '--help']);"
        "print([m for m in ('numpy', 'torch', 'sqlalchemy', 'pydicom', 'pydantic_settings', 'faiss')"
        " if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "words",
    [
        ["search"],
        ["search", "--text", "a", "--study", "1.2"],
        ["search", "--text", "a", "-k", "0"],
        ["search", "--text", "a", "--level", "patient"],
        ["classify", "--image", "a.png"],
        ["classify", "--labels", "a,b"],
        ["forget"],
        ["ingest"],
        ["probe", "train", "x"],
        ["probe", "predict", "x", "--all", "--study", "1.2"],
        ["no-such-command"],
        ["--no-such-option"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_leaves_the_home_alone(words: list[str], tmp_path: Path) -> None:
    shown = run("--home", tmp_path / "home", *words)
    assert shown.code == 2
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert not (tmp_path / "home").exists()
    as_json = run("--home", tmp_path / "home", "--json", *words)
    assert as_json.code == 2
    assert as_json.error["code"] == "usage"


def test_an_error_is_one_sentence_with_its_code(home: Home) -> None:
    shown = home.show("study", "show", "1.2.3")
    assert shown.code == 1
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("error: ")
    assert shown.err.rstrip().endswith("(unknown-study)")
    assert home.run("study", "show", "1.2.3").error["code"] == "unknown-study"


def test_debug_shows_a_traceback(home: Home) -> None:
    with pytest.raises(Exception, match=r"1\.2\.3"):
        run("--home", home.path, "--debug", "study", "show", "1.2.3")


def test_an_unexpected_failure_is_one_line(own_home: Home) -> None:
    import sqlite3

    with sqlite3.connect(own_home.path / "catalog.db") as connection:
        connection.execute("ALTER TABLE studies RENAME COLUMN study_date TO other")
    connection.close()
    shown = own_home.show("study", "list")
    assert shown.code == 1
    assert shown.err.count("\n") == 1
    assert "--debug" in shown.err
    assert "SELECT" not in shown.err


def test_a_setting_of_the_environment_that_cannot_be_used_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSIGLIP_BATCH_SIZE", "many")
    error = home.run("index", "info").error
    assert error["code"] == "bad-setting"
    assert "MEDSIGLIP_BATCH_SIZE" in error["message"]


def test_the_home_comes_from_the_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSIGLIP_HOME", str(home.path))
    assert run("--json", "index", "info").json["studies"] == 32


def test_a_closed_pipe_is_no_error(home: Home) -> None:
    command = [sys.executable, "-m", "medsiglip.api.cli", "--home", str(home.path), "study", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_ctrl_c_is_one_line_and_leaves_the_archive_intact(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20_000):
        (folder / f"{number}.dcm").write_bytes(b"no dicom")
    command = [
        sys.executable,
        "-m",
        "medsiglip.api.cli",
        "--home",
        str(tmp_path / "home"),
        "--json",
        "ingest",
        str(folder),
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        while not (tmp_path / "home" / "secret.key").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert err.count(b"error:") == 1
    assert b"Traceback" not in err
    verified = run("--home", tmp_path / "home", "--json", "index", "verify", "--deep").json
    assert (verified["ok"], verified["without_checksum"]) == (True, 0)
