"""Generators that are configured, tried with two pictures: in the background by /readyz, now by doctor."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.drafts.generators import GeneratorChecks, try_generators
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from tests.api.conftest import run
from tests.waiting import eventually


class Answering(ThreadingHTTPServer):
    """A generator that sees its pictures, or is `blind`; counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blind = False
        self.asked = 0
        self.go = threading.Event()
        self.go.set()


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self.server.go.wait(30)
        said = "A radiograph" if self.server.blind else hashlib.sha256(body).hexdigest()
        choice = {"index": 0, "message": {"content": said}, "finish_reason": "stop"}
        answer = json.dumps({"choices": [choice], "model": "near-model"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.go.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def settings(server: Answering, tmp_path: Path) -> Settings:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    (tmp_path / "generators.toml").write_text(f'[near]\nurl = "{url}"\nmodel = "near-model"\n')
    return Settings(home=tmp_path)


def settled(checks: GeneratorChecks, settings: Settings) -> list[dict[str, Any]]:
    eventually(lambda: all(one["detail"] != "being tried" for one in checks.checks(settings)))
    return checks.checks(settings)


def test_a_generator_is_tried_in_the_background_and_once(server: Answering, settings: Settings) -> None:
    checks = GeneratorChecks()
    server.go.clear()
    waiting = {"name": "generator:near", "ok": False, "detail": "being tried", "required": False}
    for _ in range(20):
        assert checks.checks(settings) == [waiting]
    server.go.set()
    seeing = {**waiting, "ok": True, "detail": "tells two pictures apart"}
    assert settled(checks, settings) == [seeing]
    asked = server.asked
    for _ in range(20):
        assert checks.checks(settings) == [seeing]
    assert server.asked == asked


def test_a_blind_generator_and_one_that_is_away_are_told_by_code(
    server: Answering, settings: Settings
) -> None:
    server.blind = True
    file = settings.home / "generators.toml"
    file.write_text(file.read_text() + '[away]\nurl = "http://127.0.0.1:9/v1"\nmodel = "m"\n')
    found = {one["name"]: one["detail"] for one in settled(GeneratorChecks(), settings)}
    assert found == {"generator:near": "image-blind", "generator:away": "generator-down"}
    [near, away] = try_generators(settings)
    assert (near["name"], near["kind"], near["model"], near["ok"]) == ("near", "openai", "near-model", False)
    assert (near["code"], away["code"]) == ("image-blind", "generator-down")
    assert "two different pictures" in near["message"]


def test_a_change_of_the_file_is_seen(server: Answering, settings: Settings) -> None:
    checks = GeneratorChecks()
    assert settled(checks, settings)[0]["ok"]
    file = settings.home / "generators.toml"
    good = file.read_text()
    file.write_text("[near]\nsecret = 1\n")
    broken = {"name": "generators", "ok": False, "detail": "bad-generators", "required": False}
    assert checks.checks(settings) == [broken]
    file.unlink()
    assert checks.checks(settings) == []
    file.write_text(good)
    assert settled(checks, settings)[0]["ok"]


def test_a_local_generator_is_not_loaded_by_the_server(tmp_path: Path) -> None:
    (tmp_path / "generators.toml").write_text('[here]\nkind = "local"\nmodel = "/nowhere"\n')
    settings = Settings(home=tmp_path)
    [found] = GeneratorChecks().checks(settings)
    assert (found["name"], found["ok"]) == ("generator:here", True)
    [tried] = try_generators(settings)
    assert (tried["ok"], tried["code"]) == (False, "generator-model-unknown")


@pytest.mark.long
def test_a_generator_that_fails_does_not_make_the_service_unready(settings: Settings) -> None:
    file = settings.home / "generators.toml"
    file.write_text('[away]\nurl = "http://127.0.0.1:9/v1"\nmodel = "hidden-model"\n')
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert app.state.server.archive.encoder.batch_size > 0  # which waits for the model

        def told() -> dict[str, Any]:
            return {one["name"]: one for one in client.get("/readyz").json()["checks"]}

        eventually(lambda: told().get("generator:away", {}).get("detail") == "generator-down")
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
        assert {name: one["required"] for name, one in told().items()} == {
            **dict.fromkeys(("database", "disk", "encoder", "search"), True),
            "generator:away": False,
        }
        assert "hidden-model" not in answer.text
        assert "127.0.0.1:9" not in answer.text


def test_doctor_tries_the_generators(server: Answering, settings: Settings) -> None:
    told = run("--home", settings.home, "--json", "doctor")
    assert (told.code, told.json["ok"]) == (0, True)
    [near] = told.json["generators"]
    assert (near["name"], near["ok"], near["code"]) == ("near", True, None)
    server.blind = True
    shown = run("--home", settings.home, "doctor")
    assert "NOT READY" in shown.out
    assert shown.code == 0


def test_keys_in_headers_are_shown_nowhere(settings: Settings, server: Answering) -> None:
    secret, file = "words-of-a-gateway", settings.home / "gateway"
    file.write_text(secret)
    table = settings.home / "generators.toml"
    inline = f'headers = {{ X-A = "{secret}", X-B = {{ file = "{file}" }} }}\n'
    table.write_text(table.read_text() + inline)
    assert run("--home", settings.home, "--json", "doctor").json["generators"][0]["ok"]
    server.blind = True
    for words in (
        ["--json", "doctor"],
        ["doctor"],
        ["--json", "config", "show"],
        ["--debug", "config", "show"],
    ):
        told = run("--home", settings.home, *words)
        assert told.code == 0
        assert secret not in told.out + told.err
    table.write_text(table.read_text() + inline.replace("headers", "header"))
    told = run("--home", settings.home, "doctor")
    assert secret not in told.out + told.err
    [found] = GeneratorChecks().checks(settings)
    assert found["detail"] == "bad-generators"


def test_doctor_without_generators(tmp_path: Path) -> None:
    assert run("--home", tmp_path, "--json", "doctor").json["generators"] == []
