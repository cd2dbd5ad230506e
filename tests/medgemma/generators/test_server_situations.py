"""Every way in which the scripted server of the shared cases misbehaves ends as it should for the reader."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.openai_server import OpenAIServer, Retries, ServerOptions
from medsiglip.medgemma.generators.replies import Reply
from medsiglip.medgemma.prompting.prompts import Prompt
from medsiglip.medgemma.records import Evidence, Finding
from tests.medgemma.generators.situations import OUTCOMES, TRIES, Good, Incomplete, Refused
from tests.medgemma.scripted_server import Script, reply_of, serving
from tests.waiting import eventually

START_SECONDS = 30
NOISE = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
PROMPT = Prompt(
    "chest-xray",
    "You are an expert radiologist.",
    ("Describe the findings of this chest X-ray succinctly.", "IMAGE 1:", NOISE[0], "IMAGE 2:", NOISE[1]),
    500,
    600,
)
QUICK = Retries(TRIES, first_wait=0.01)
# Reads the server's table without starting it; its own arguments are none.
NAMES = (
    "import json, runpy, sys; path = sys.argv.pop(); found = runpy.run_path(path);"
    "print(json.dumps([sorted(found['S']), found['GOOD']]))"
)


@dataclass(frozen=True)
class Ended:
    """How a situation ended, and how often the server had been asked by then, and for a second draft."""

    found: Reply | DraftError
    requests: int
    again: int


@pytest.fixture(scope="module")
def program(test_cases: Path) -> Path:
    path = test_cases / "generators" / "server.py"
    if not path.is_file():
        pytest.skip("the folder of cases has no scripted server")
    return path


@pytest.fixture(scope="module")
def table(program: Path) -> tuple[list[str], str]:
    """The names of the server's situations, and its good text."""
    done = subprocess.run([sys.executable, "-B", "-c", NAMES, program], capture_output=True, check=True)
    names, good = json.loads(done.stdout)
    return names, good


@contextmanager
def running(program: Path, log: Path, *certificate: Path) -> Iterator[int]:
    """The server on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-B", program, str(port), *certificate], stdout=written, stderr=written
        )
    try:
        eventually(lambda: process.poll() is not None or listens(port), START_SECONDS)
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """How often each situation is requested over HTTP; the server's own lines run together in threads."""
    sent: Counter[str] = Counter()
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def counted(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            sent[request.url.path.split("/")[2]] += 1
        return await send(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", counted)
        yield sent


def ended(generator: OpenAIServer) -> Reply | DraftError:
    try:
        return generator.generate(PROMPT)
    except DraftError as error:
        return error


@pytest.fixture(scope="module")
def outcomes(
    program: Path, table: tuple[list[str], str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ended]:
    """Each situation, played once for all tests and all at the same time, because one takes 40 seconds."""
    log = tmp_path_factory.mktemp("situations") / "log"
    names, _ = table
    with counting() as sent, running(program, log) as port, ThreadPoolExecutor(24) as threads:
        made = {
            name: OpenAIServer(
                f"http://127.0.0.1:{port}/s/{name}/v1", "m", options=ServerOptions(retries=QUICK)
            )
            for name in names
        }
        ordered = sorted(names, key=lambda name: "pings" not in name)
        found = dict(zip(ordered, threads.map(lambda name: ended(made[name]), ordered), strict=True))
        first = Counter(sent)
        learned = [name for name in names if isinstance(one := OUTCOMES.get(name), Good) and one.again]
        list(threads.map(lambda name: ended(made[name]), learned))
    return {name: Ended(found[name], first[name], sent[name] - first[name]) for name in names}


def test_every_situation_has_its_outcome_here(table: tuple[list[str], str]) -> None:
    names, _ = table
    assert set(names) == OUTCOMES.keys()


@pytest.mark.long
@pytest.mark.parametrize("name", OUTCOMES)
def test_a_situation_ends_as_it_should(
    name: str, outcomes: dict[str, Ended], table: tuple[list[str], str]
) -> None:
    _, good = table
    wanted, got = OUTCOMES[name], outcomes[name]
    assert got.requests == wanted.requests
    if isinstance(wanted, Refused):
        assert isinstance(got.found, DraftError), got.found
        assert (got.found.code, got.found.may_pass) == (wanted.code, wanted.may_pass)
        assert wanted.cure in str(got.found)
        return
    assert isinstance(got.found, Reply), got.found
    if isinstance(wanted, Incomplete):
        assert got.found.incomplete == wanted.reason
        assert good.startswith(got.found.text)
        return
    assert got.found.incomplete is None
    check_whole(got.found, wanted, good)
    assert got.again == wanted.again


def check_whole(reply: Reply, wanted: Good, good: str) -> None:
    if wanted.parts:
        assert [part for part in wanted.parts if part.replace("GOOD", good) not in reply.text] == []
    else:
        assert reply.text == good
    assert [part for part in wanted.without if part.lower() in reply.text.lower()] == []
    assert wanted.thinking in (reply.thinking or "")
    assert bool(reply.thinking) == bool(wanted.thinking)
    assert all(character.isprintable() or character == "\n" for character in reply.text)


@pytest.mark.long
def test_the_checks_read_each_text_and_flag_what_is_not_latin(outcomes: dict[str, Ended]) -> None:
    findings = (Finding("pleural effusion", 0.97, True, "prompts:chest-xray", 1),)
    evidence = Evidence("2.25.1", "space", "DX", "CHEST", "chest-xray", findings)
    texts = {name: one.found.text for name, one in outcomes.items() if isinstance(one.found, Reply)}
    checks = {name: check_draft(text, evidence) for name, text in texts.items()}
    assert all(checks.values())
    contradicted = {check.verdict for check in checks["good"] if check.finding == "pleural effusion"}
    assert contradicted == {"contradict"}
    flagged = [check for check in checks["unicode"] if "other-language" in check.flags]
    assert {check.verdict for check in flagged} == {"not-checkable"}
    foreign = "".join(check.sentence for check in flagged)
    letters = [letter for letter in texts["unicode"] if letter.isalpha() and not letter.isascii()]
    assert [letter for letter in letters if letter not in foreign] == []


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that no authority of this machine knows, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    kind = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, "req", *kind, *names, "-out", str(made), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


def test_a_certificate_is_trusted_when_its_authority_is_named(
    program: Path, table: tuple[list[str], str], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(program, log, *certificate) as port:

        def asked(scheme: str, host: str, ca_file: Path | None) -> Reply | DraftError:
            options = ServerOptions(retries=QUICK, ca_file=None if ca_file is None else str(ca_file))
            return ended(OpenAIServer(f"{scheme}://{host}:{port}/s/good/v1", "m", options=options))

        unknown = asked("https", "127.0.0.1", None)
        other_host = asked("https", "localhost", certificate[0])
        plain = asked("http", "127.0.0.1", None)
        assert " good " not in log.read_text()
        trusted = asked("https", "127.0.0.1", certificate[0])
    assert isinstance(trusted, Reply)
    assert trusted.text == table[1]
    for error, cure in ((unknown, "ca_file"), (other_host, "host that the certificate names")):
        assert isinstance(error, DraftError)
        assert (error.code, error.may_pass) == ("generator-tls", False)
        assert cure in str(error)
    assert isinstance(plain, DraftError)
    assert (plain.code, plain.may_pass) == ("generator-failed", True)
    assert "https://" in str(plain)


def test_tls_with_a_server_that_has_none() -> None:
    script = Script()
    script.turns = [reply_of("The lungs are clear.")]
    with serving(script):
        options = ServerOptions(retries=QUICK)
        error = ended(OpenAIServer(script.url.replace("http:", "https:"), "m", options=options))
    assert isinstance(error, DraftError)
    assert error.code == "generator-tls"
    assert "begin its url with http://" in str(error)
