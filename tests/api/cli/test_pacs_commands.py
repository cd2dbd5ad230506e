"""Connections to PACS at the command line, against a real Orthanc."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.api.archive.pacs.orthanc import Orthanc, Setup, needs_orthanc
from tests.api.conftest import Home, Phantoms, run

pytestmark = needs_orthanc


@dataclass(frozen=True)
class Desk:
    """A home of its own, and an Orthanc that holds a study which asks for a password."""

    home: Home
    orthanc: Orthanc
    study: str
    password: Path


@pytest.fixture(scope="module")
def desk(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    import pydicom

    folder = tmp_path_factory.mktemp("desk")
    [file, *_] = sorted(phantoms.dicom.rglob("*.dcm"))
    password = folder / "password"
    password.write_text("wonder\n")
    with Orthanc(folder / "orthanc", Setup(users={"alice": "wonder"})) as orthanc:
        assert orthanc.upload([file]) == [file]
        uid = str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)
        yield Desk(Home(folder / "home", {}), orthanc, uid, password)


def test_a_pacs_is_added_tried_asked_and_removed(desk: Desk) -> None:
    home = desk.home
    url = desk.orthanc.dicomweb_url
    added = home.run(
        "pacs", "add", "main", "--url", url, "--username", "alice", "--password-file", desk.password
    )
    assert added.json["options"] == {
        "kind": "dicomweb",
        "url": url,
        "username": "alice",
        "password_file": str(desk.password),
    }
    dimse = ("--host", "127.0.0.1", "--port", desk.orthanc.dicom_port, "--ae-title", "ORTHANC")
    assert home.run("pacs", "add", "old", *dimse, "--timeout-seconds", 20).json["kind"] == "dimse"
    for name in ("main", "old"):
        assert home.run("pacs", "echo", name).json["seconds"] >= 0
        asked = ("--study", desk.study, "--limit", 5)
        [found] = home.run("pacs", "find", name, *asked).json["studies"]
        assert (found["study_instance_uid"], found["here"], found["instances"]) == (desk.study, "no", 1)
        assert desk.study in home.show("pacs", "find", name, *asked).out
        assert "answered after" in home.show("pacs", "echo", name).out
    listed = home.run("pacs", "list").json
    assert [(one["name"], one["state"]) for one in listed["connections"]] == [("main", "ok"), ("old", "ok")]
    assert listed["receiver"] is None
    desk.password.write_text("wrong")
    refusal = home.run("pacs", "echo", "main").error
    assert refusal["code"] == "pacs-refused"
    assert "wrong" not in refusal["message"]
    shown = home.show("pacs", "list").out
    assert "failing" in shown
    assert "(pacs-refused)" in shown
    assert home.run("pacs", "remove", "old").json == {"name": "old", "removed": True}
    assert home.run("pacs", "echo", "old").error["code"] == "unknown-pacs"
    events = home.run("audit", "list").json["events"]
    assert [one["details"]["change"] for one in events if one["action"] == "pacs-connection"] == [
        *("put", "put", "remove")
    ]
    assert "wonder" not in str(events)


_DIMSE = ("--host", "h", "--port", "1", "--ae-title", "A")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("bad-connection", ("add", "x")),
        ("bad-connection", ("add", "x", "--url", "pacs.example")),
        ("bad-connection", ("add", "x", "--url", "https://a:b@pacs.example/")),
        ("bad-connection", ("add", "x", "--host", "h", "--port", "104", "--ae-title", "A" * 17)),
        ("bad-connection", ("add", "x", "--url", "https://a/", "--hours", "9-5")),
        ("bad-connection", ("add", "x", "--url", "https://a/", "--rate", "0")),
        ("bad-connection", ("add", "x", "--url", "https://a/", "--send-accepted", "doc")),
        (
            "bad-connection",
            ("add", "x", "--host", "h", "--port", "1", "--ae-title", "A", "--retrieve", "move"),
        ),
        ("bad-connection", ("add", "x", "--url", "https://a/", "--retrieve", "move")),
        ("bad-connection", ("add", "x", "--url", "https://a/", "--calling-ae-title", "US")),
        ("bad-connection", ("add", "x", *_DIMSE, "--retrieve", "store")),
        ("bad-connection", ("add", "x", *_DIMSE, "--move-destination", "US")),
        ("bad-connection", ("add", "x", "--url", "https://a/", "--token-command", "t", "--username", "u")),
        *(
            ("bad-connection", ("add", "x", *words.split()))
            for words in (
                "--url http://a/ --tls",
                "--url http://a/ --ca-file ca",
                "--host a --port 104 --ae-title A --certificate-file own --key-file key",
                "--url https://a/ --token-command t --changes-url https://b/",
                "--url https://a/ --token-command t --changes-url http://a/",
            )
        ),
        ("bad-pacs-name", ("add", "a/b", "--url", "https://a/")),
        ("no-such-path", ("add", "x", "--url", "https://a/", "--token-file", "/absent/token")),
        ("bad-pacs-question", ("find", "x", "--from-date", "tomorrow")),
        ("bad-pacs-question", ("find", "x", "--patient-id", "a\\b")),
        ("no-archive", ("list",)),
        ("no-archive", ("echo", "x")),
        ("no-archive", ("remove", "x")),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else value,
)
def test_what_is_wrong_is_said_and_makes_no_home(code: str, words: tuple[str, ...], tmp_path: Path) -> None:
    assert run("--home", tmp_path / "home", "--json", "pacs", *words).error["code"] == code
    assert not (tmp_path / "home").exists()


def test_each_option_is_kept(tmp_path: Path) -> None:
    for name in ("ca", "own", "key"):
        (tmp_path / name).write_text("PEM")
    home = Home(tmp_path / "home", {})
    dimse = {
        "--host": "10.0.0.7",
        "--port": 104,
        "--ae-title": "PACS",
        "--calling-ae-title": "HERE",
        "--retrieve": "move",
        "--move-destination": "STORE",
        "--changes-url": "https://10.0.0.7:8042/",
        "--ca-file": tmp_path / "ca",
        "--certificate-file": tmp_path / "own",
        "--key-file": tmp_path / "key",
        "--rate": 2.5,
        "--hours": "20:00-06:00",
        "--timeout-seconds": 9,
        "--send-accepted": "sr",
    }
    words = [word for pair in dimse.items() for word in pair]
    added = home.run("pacs", "add", "old", *words, "--send-accepted", "pdf", "--tls", "--drop-files").json
    expected = {name[2:].replace("-", "_"): value for name, value in dimse.items()}
    expected |= {"kind": "dimse", "tls": True, "keep_files": False, "send_accepted": ["sr", "pdf"]}
    assert added["options"] == {
        name: str(value) if isinstance(value, Path) else value for name, value in expected.items()
    }
    token = ("--token-command", "print-token --quiet")
    web = home.run("pacs", "add", "main", "--url", "https://a.example/dicom-web", *token).json
    assert web["options"]["token_command"] == "print-token --quiet"
