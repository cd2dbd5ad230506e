"""What a person sees on a terminal, and how studies can be named there."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from medsiglip.answers.paths import shown
from medsiglip.api.archive.archive import Archive
from medsiglip.api.cli import progress
from medsiglip.api.cli.main import main
from medsiglip.api.cli.presentation import tables
from medsiglip.api.cli.presentation.tables import one_shortened, print_table, shortened
from medsiglip.api.cli.study_names import study_named
from medsiglip.api.http import serving
from tests.api.cli.pseudo_terminal import in_terminal
from tests.api.conftest import Home, run
from tests.clocks import Clock

SHORTENED = re.compile(r"[0-9.]+…[0-9.]+")


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Takes back what a service sets for its whole process."""
    root, hangup = logging.getLogger(), signal.getsignal(signal.SIGHUP)
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.disable(disabled)
    logging.captureWarnings(False)
    signal.signal(signal.SIGHUP, hangup)


def uids(home: Home) -> list[str]:
    return [one["study_instance_uid"] for one in home.run("study", "list").json["studies"]]


def unique_beginning(uid: str, others: list[str]) -> str:
    """The shortest beginning that no other has."""
    return next(
        uid[:n] for n in range(1, len(uid) + 1) if sum(one.startswith(uid[:n]) for one in others) == 1
    )


@pytest.mark.parametrize("columns", [80, 100])
def test_a_list_has_one_line_for_each_study_and_names_that_are_taken_again(
    own_home: Home, columns: int
) -> None:
    studies = uids(own_home)
    screen = in_terminal(columns, "--home", own_home.path, "study", "list")
    assert screen.code == 0
    assert max(map(len, screen.lines)) <= columns
    assert screen.lines[0] == f"{len(studies)} studies"
    rows = screen.lines[2:]
    assert [row.split()[0] for row in rows if SHORTENED.search(row)] == [
        str(n) for n in range(1, len(studies) + 1)
    ]
    names = [SHORTENED.search(row)[0] for row in rows if SHORTENED.search(row)]  # type: ignore[index]
    for name, uid in zip(names, studies, strict=True):
        beginning, _, end = name.partition("…")
        assert uid.startswith(beginning)
        assert uid.endswith(end)
    shown = own_home.run("study", "show", names[3]).json
    assert shown["study_instance_uid"] == studies[3]


@pytest.mark.parametrize("columns", [80, 100])
def test_a_study_fits_the_terminal_and_shows_its_whole_uid(home: Home, columns: int) -> None:
    [ct, *_] = [
        one["study_instance_uid"]
        for one in home.run("study", "list", "--where", "modality=CT").json["studies"]
    ]
    screen = in_terminal(columns, "--home", home.path, "study", "show", ct)
    assert max(map(len, screen.lines)) <= columns
    assert screen.lines[0].split() == ["study", ct]
    images = home.run("study", "show", ct).json["images"]
    begin = next(n for n, line in enumerate(screen.lines) if line == "images") + 2
    rows = screen.lines[begin : begin + len(images)]
    assert [row.split()[0] for row in rows] == [str(one["image_id"]) for one in images]
    assert all(row.endswith(Path(one["path"]).name) for row, one in zip(rows, images, strict=True))


def test_the_longest_uid_fits_80_columns() -> None:
    from medsiglip.api.cli.presentation.archive import show_study

    uid = "1.2.826.0.1.3680043.8.498." + "9" * 38
    assert len(uid) == 64
    facts = dict.fromkeys(("patient_key", "patient_sex", "patient_age", "study_date", "study_description"))
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    show_study(console, {"study_instance_uid": uid, **facts, "labels": {}, "series": [], "images": []})
    [line] = [one for one in console.file.getvalue().splitlines() if uid in one]  # type: ignore[attr-defined]
    assert len(line) <= 80


def test_short_names_of_a_column_differ() -> None:
    many = [f"1.2.840.113619.2.55.3.{n}.1234567890" for n in range(1000)]
    short = shortened([*many, many[7]])
    assert len(set(short)) == 1000
    assert short[7] == short[-1]
    assert shortened(["1.2.3"]) == ["1.2.3"]
    assert shortened(["-", many[0]])[0] == "-"


def test_off_a_terminal_nothing_is_shortened(home: Home) -> None:
    uid = uids(home)[0]
    assert uid in home.show("study", "list").out
    assert uid in home.show("study", "show", uid).out
    console = Console(file=io.StringIO(), width=30)
    assert one_shortened(console, uid, 10) == uid
    print_table(console, "", ("study", "path"), [(uid, "/a/very/long/path/of/a/file/1.dcm")])
    assert f"{uid}  /a/very/long/path/of/a/file/1.dcm" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_unique_beginning_names_a_study_wherever_a_uid_does(own_home: Home) -> None:
    studies = uids(own_home)
    uid = next(
        one["study_instance_uid"]
        for one in own_home.run("study", "list", "--where", "modality=CR|DX").json["studies"]
    )
    name = unique_beginning(uid, studies)
    assert name != uid
    asked: dict[str, Any] = {
        "show": own_home.run("study", "show", name).json,
        "search": own_home.run("search", "--study", name, "-k", 1).json["query"],
        "classify": own_home.run("classify", "--study", name, "--labels", "a,b").json,
        "draft": own_home.run("report", "draft", name).json,
    }
    assert {one: answer["study_instance_uid"] for one, answer in asked.items()} == dict.fromkeys(asked, uid)
    draft = asked["draft"]["id"]
    assert own_home.run("report", "show", draft[:12]).json["id"] == draft
    [listed] = own_home.run("report", "list", "--study", name).json["reports"]
    assert listed["study_instance_uid"] == uid
    [event, *_] = own_home.run("audit", "list", "--study", name).json["events"]
    assert uid in event["studies"]
    assert own_home.run("report", "reject", draft[:12], "--reason", "x").json["status"] == "rejected"
    refused = own_home.run("forget", "--study", name[:-1])
    alike = [one for one in studies if one.startswith(name[:-1])]
    assert len(alike) > 1
    assert refused.error["code"] == "ambiguous-uid"
    assert all(one in refused.error["message"] for one in sorted(alike)[:10])
    assert own_home.run("study", "show", name[:-1]).error["code"] == "ambiguous-uid"
    assert own_home.run("study", "show", f"{uid}.9").error["code"] == "unknown-study"
    assert uids(own_home) == studies
    assert own_home.run("forget", "--study", name, "--yes").json["studies"] == 1
    assert uids(own_home) == [one for one in studies if one != uid]


@pytest.mark.parametrize("given", [b"\xfc", b"1.2\xfc\xe2\x80\xa64"])
def test_a_word_that_is_not_text_is_named(home: Home, given: bytes) -> None:
    word = os.fsdecode(given)
    for words in (
        ("study", "show", word),
        ("report", "list", "--words", word),
        ("audit", "list", "--study", word),
    ):
        refused = home.run(*words)
        assert refused.code == 1
        assert refused.error["code"] == "not-text"
        assert refused.error["message"].startswith(shown(word))
        refused.out.encode("utf-8")


def test_a_terminal_without_unicode_shows_names_that_are_taken_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "1.2.3…4"
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    monkeypatch.setattr(sys, "stdout", plain)
    monkeypatch.setattr(tables, "show_value", lambda _value: name)
    assert main(["--home", str(home.path), "study", "list"]) == 0
    assert main(["--home", str(home.path), "--json", "study", "show", "ü"]) == 1
    plain.flush()
    written = plain.buffer.getvalue().decode("utf-8")
    assert name.encode("ascii", "backslashreplace").decode() in written
    assert "There is no study ü" in json.loads(written.splitlines()[-1])["error"]["message"]
    with Archive(home.path) as archive:
        uid = uids(home)[0]
        assert study_named(archive, rf"{uid[:-5]}\u2026{uid[-5:]}") == uid


def test_beginnings_are_taken_literally(home: Home) -> None:
    """`%` and `_` match anything in SQL's LIKE."""
    for name in ("%", "2%", "2_", "_", "…", "", "..."):
        assert home.run("study", "show", name).error["code"] == "unknown-study"


def test_rows_of_the_last_list_are_taken_by_commands_that_only_read(own_home: Home) -> None:
    assert own_home.run("study", "show", "2").error["code"] == "no-such-row"
    assert not list(own_home.path.glob("last-list*"))
    in_terminal(90, "--home", own_home.path, "study", "list")
    studies = uids(own_home)
    [kept] = own_home.path.glob("last-list*")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert own_home.run("study", "show", "2").json["study_instance_uid"] == studies[1]
    assert own_home.run("search", "--study", 3, "-k", 1).json["query"]["study_instance_uid"] == studies[2]
    scored = own_home.run("classify", "--study", 1, "--labels", "a,b").json
    assert scored["study_instance_uid"] == studies[0]
    assert own_home.run("report", "list", "--study", 1).json["reports"] == []
    assert own_home.run("study", "show", len(studies) + 1).error["code"] == "no-such-row"
    assert own_home.run("study", "show", 0).error["code"] == "no-such-row"
    for words in (("forget", "--study", 2, "--yes"), ("report", "draft", 2)):
        assert own_home.run(*words).error["code"] == "row-not-taken"
    assert uids(own_home) == studies
    in_terminal(90, "--home", own_home.path, "search", "--study", studies[4], "-k", 2)
    hits = [
        h["study_instance_uid"] for h in own_home.run("search", "--study", studies[4], "-k", 2).json["hits"]
    ]
    assert own_home.run("study", "show", "2").json["study_instance_uid"] == hits[1]
    own_home.run("forget", "--study", studies[4])
    assert not list(own_home.path.glob("last-list*"))


def test_off_a_terminal_a_line_is_printed_every_half_minute(capfd: pytest.CaptureFixture[str]) -> None:
    clock = Clock(100.0)
    with progress.progress_display(clock) as show:
        for second in range(100):
            clock.now = 100.0 + second
            show("embedding", second * 2, 400)
    assert capfd.readouterr() == (
        "",
        "embedding: 60/400  2.0/s  0:02:50 left\n"
        "embedding: 120/400  2.0/s  0:02:20 left\n"
        "embedding: 180/400  2.0/s  0:01:50 left\n",
    )


def test_a_stage_of_unknown_length_ends_when_the_next_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    import rich.progress

    made: list[rich.progress.Progress] = []

    class Kept(rich.progress.Progress):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(rich.progress, "Progress", Kept)
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with progress._moving(console, Clock(100.0)) as show:
        show("finding files", 7, None)
        [display] = made
        assert not display.tasks[0].finished
        show("reading headers", 1, 7)
        assert display.tasks[0].finished
        assert display.tasks[0].completed == 7
        assert not display.tasks[1].finished
        show("zero-shot", 0, None)
    assert [task.finished for task in display.tasks] == [True, False, True]


def test_the_files_that_were_found_are_all_counted(phantoms: Any, tmp_path: Path) -> None:
    files = len(list(phantoms.dicom.rglob("*.dcm")))
    screen = in_terminal(80, "--home", tmp_path / "home", "ingest", "--dry-run", phantoms.dicom)
    found = [line for line in screen.lines if line.startswith("finding files")]
    assert found[-1].split()[3] == str(files)


@pytest.mark.parametrize("words", [("classify",), ("evaluate", "zero-shot")])
def test_prompt_sets_are_listed(home: Home, words: tuple[str, ...]) -> None:
    import medsiglip

    folder = Path(medsiglip.__file__).parent / "prompts"
    listed = home.run(*words, "--prompts", "list").json["prompt_sets"]
    assert [one["name"] for one in listed] == sorted(path.stem for path in folder.glob("*.toml"))
    [chest] = [one for one in listed if one["name"] == "chest-xray"]
    assert (chest["kind"], len(chest["labels"])) == ("findings", 13)
    assert "chest-xray" in home.show(*words, "--prompts", "list").out


def test_doctor_ends_with_what_to_do_next(home: Home, tmp_path: Path) -> None:
    assert "medsiglip ingest" in run("--home", tmp_path / "new", "doctor").out.splitlines()[-1]
    assert "medsiglip search" in home.show("doctor").out.splitlines()[-1]
    broken = run("--model", tmp_path, "doctor").out.splitlines()[-1]
    assert broken == "next: mend what FAILS, then run `medsiglip doctor` again"


def test_serve_says_what_to_do_next(
    own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_logging: None
) -> None:
    def answer_nothing(_app: object, sockets: list[socket.socket], *, on_ready: Any, **_: object) -> None:
        on_ready()
        for one in sockets:
            one.close()

    monkeypatch.setattr(serving, "serve", answer_nothing)

    def said(folder: Path) -> str:
        first, second = run("--home", folder, "serve", "--port", "0", "--no-worker").out.splitlines()
        assert "answers at http://127.0.0.1:" in first
        assert second.startswith("next: ")
        return second

    assert "medsiglip ingest" in said(tmp_path / "new")
    assert "medsiglip keys create" in said(own_home.path)
    own_home.run("keys", "create", "one", "--scopes", "read")
    assert "Authorization: Bearer" in said(own_home.path)


def test_names_within_words_and_times_are_short_on_a_terminal() -> None:
    uid, key = "1.2.840.113619.2.55.3.1234567890", "0123456789abcdef0123456789abcdef"
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    rows = [
        (key, f"{uid}, {uid}9", "2026-11-29T10:48:26.061457+00:00", "/data/" + "a" * 90 + "/1.dcm", 0.5),
        ("-", "T1/T2 FLAIR, a description of some length", "2026-11-29T10:48:26Z", "-", 0.25),
    ]
    print_table(console, "", ("id", "studies", "at", "path", "score"), rows, numeric="score")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    assert uid not in text
    assert text.count("2026-11-29 10:48") == 2
    assert re.search(r"01234\S*…\S*bcdef ", text)
    assert re.search(r"…a*/1\.dcm", text)
    assert re.search(r"0\.500", text)
