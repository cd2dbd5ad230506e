"""What lets a DICOMweb client in: passwords, tokens from files and commands; and to whom neither is given."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from medsiglip.ingest.pacs.records import PacsQuery
from medsiglip.ingest.pacs.web import credentials
from tests.ingest.pacs.scripted_service import Request, connection, service


class Guard:
    """Lets in who shows `expected`, and remembers what was shown."""

    def __init__(self, expected: str) -> None:
        self.expected = expected
        self.shown: list[str | None] = []

    def __call__(self, request: Request) -> None:
        self.shown.append(request.headers.get("Authorization"))
        if self.shown[-1] == self.expected:
            request.give_json([])
        else:
            request.give(401, WWW_Authenticate="Bearer")


def echo(guard: Guard, times: int = 1, **options: Any) -> None:
    with service(guard) as url, DicomwebClient(connection(url, **options)) as client:
        for _ in range(times):
            client.echo()


def test_name_and_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("gehëim:x\n", "utf-8")
    shown = base64.b64encode("ärzte:gehëim:x".encode()).decode()
    echo(Guard(f"Basic {shown}"), username="ärzte", password_file=tmp_path / "password")


def test_tokens_in_files_are_read_again_when_they_are_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    guard = Guard("Bearer one")
    with service(guard) as url, DicomwebClient(connection(url, token_file=token)) as client:
        client.echo()
        token.write_text("two\n")
        client.echo()
        guard.expected = "Bearer two"
        client.echo()
        guard.expected = "Bearer three"
        with pytest.raises(PacsError) as refused:
            client.echo()
    assert refused.value.code == "pacs-refused"
    assert not refused.value.may_pass
    # What is refused and has not changed is not shown twice.
    assert guard.shown == [f"Bearer {word}" for word in ("one", "one", "one", "two", "two")]


def program(folder: Path, text: str) -> str:
    file = folder / "give token.py"
    file.write_text(text)
    return f"{sys.executable} -S '{file}' '$HOME; echo'"


def test_token_commands_run_without_a_shell_and_once(tmp_path: Path) -> None:
    text = f"""
import sys
with open({str(tmp_path / "runs")!r}, "a") as runs:
    runs.write("x")
print("t" + str(len(open({str(tmp_path / "runs")!r}).read())) + str(len(sys.argv)), flush=True)
print("a secret", file=sys.stderr)
assert sys.argv[1] == "$HOME; echo"
"""
    guard = Guard("Bearer t12")
    command = program(tmp_path, text)
    with service(guard) as url, DicomwebClient(connection(url, token_command=command)) as client:
        client.echo()
        client.echo()
        guard.expected = "Bearer t22"
        client.echo()
    assert (tmp_path / "runs").read_text() == "xx"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("print()", "one word"),
        ("print('one two')", "one word"),
        ("print('one\\r\\nX-Other: y')", "one word"),
        ("print('é')", "one word"),
        ("print('good', flush=True); raise SystemExit(3)", "ended with 3"),
        ("while True: print('x' * 1000)", "more than"),
        ("import time; print('good', flush=True); time.sleep(60)", "longer than"),
        ("import os, time; os.close(1); time.sleep(60)", "longer than"),
        ("import os, time; print('good', flush=True); os.fork() or time.sleep(60)", "longer than"),
    ],
)
def test_token_commands_that_give_none(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "COMMAND_SECONDS", 1.0)
    with pytest.raises(PacsError, match=said) as refused:
        echo(Guard(""), token_command=program(tmp_path, text))
    assert refused.value.code == "pacs-refused"
    assert "good" not in str(refused.value)


@pytest.mark.parametrize("command", ["/nowhere/at all", "'", "", "  "])
def test_token_commands_that_cannot_run(command: str) -> None:
    with pytest.raises(PacsError) as refused:
        echo(Guard(""), token_command=command)
    assert refused.value.code == "pacs-refused"


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", b"a\nb", b"\xc3\xa9", b"x" * 100_000, None])
def test_files_that_hold_no_token(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    guard = Guard("")
    with pytest.raises(PacsError) as refused:
        echo(guard, token_file=tmp_path / "token")
    assert refused.value.code == "pacs-refused"
    assert guard.shown == []


def test_redirects_on_the_same_server_are_followed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    asked = []

    def script(request: Request) -> None:
        asked.append((request.address, request.asked.get("limit"), request.headers["Authorization"]))
        if request.address == "/studies":
            request.give(307, Location=f"/behind{request.path}")
        else:
            request.give_json([])

    assert connection_of(script, tmp_path) is None
    assert asked == [("/studies", ["1"], "Bearer secret"), ("/behind/studies", ["1"], "Bearer secret")]


def connection_of(script: Any, folder: Path) -> PacsError | None:
    """The error of an echo of a service that asks for the token in `folder`."""
    with service(script) as url, DicomwebClient(connection(url, token_file=folder / "token")) as client:
        try:
            client.echo()
        except PacsError as error:
            return error
    return None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_neither_key_nor_question_goes_to_another_server(status: int, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    asked: list[str] = []
    with service(lambda request: asked.append(request.path)) as other:
        for target in (
            f"{other}/studies",
            other.replace("http:", ""),
            "https://pacs.example:444/",
            "file:///etc",
        ):
            error = connection_of(lambda request, to=target: request.give(status, Location=to), tmp_path)
            assert error is not None
            assert error.code == "pacs-failed"
            assert "another server" in str(error)
    assert asked == []


@pytest.mark.parametrize("target", ["http://[", "http://127.0.0.1:99999/", "\u00e9:\\", "http://", "?x=1"])
def test_redirects_to_nowhere(target: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    error = connection_of(
        lambda request: request.give(302, Location=target.encode().decode("latin-1")), tmp_path
    )
    assert error is not None
    assert error.code in ("pacs-bad-answer", "pacs-failed")


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    with service(lambda request: asked.append(request.path)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with service(lambda request: request.give_json([])) as url, DicomwebClient(connection(url)) as client:
            client.echo()
    assert asked == []


def test_names_of_patients_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with service(lambda request: request.give_json([])) as url, DicomwebClient(connection(url)) as client:
        assert list(client.studies(PacsQuery(patient_name="Doe^Jane", patient_id="4711"))) == []
    assert "Doe" not in caplog.text
    assert "4711" not in caplog.text


def test_a_command_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "COMMAND_SECONDS", 0.5)
    text = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(PacsError):
        echo(Guard(""), token_command=program(tmp_path, text))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
