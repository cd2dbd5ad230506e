"""The samples of `docs/samples/`: a unit of systemd, a rule of logrotate and a site of nginx, each tried."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from medsiglip.api.settings import Settings
from medsiglip.index.case_index import CaseIndex
from tests.api.service_processes import Started
from tests.repository import ROOT
from tests.waiting import eventually

SAMPLES = ROOT / "docs" / "samples"


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def directives(unit: str) -> list[tuple[str, str]]:
    lines = [line for line in unit.splitlines() if line and not line.startswith(("#", "["))]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = (SAMPLES / "systemd.service").read_text()
    here = tmp_path / "medsiglip"
    here.write_text(f"#!{sys.executable}\n")
    here.chmod(0o755)
    changed = unit.replace("/opt/medsiglip/bin/medsiglip", str(here)).replace(
        "=medsiglip\nGroup", "=root\nGroup"
    )
    (tmp_path / "medsiglip.service").write_text(changed.replace("Group=medsiglip", "Group=root"))
    words = [program("systemd-analyze"), "verify", "--man=no", str(tmp_path / "medsiglip.service")]
    verified = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "medsiglip" not in verified.stdout + verified.stderr  # it says what it ignores, and ends with 0
    given = directives(unit)
    variables = [value.partition("=")[0] for name, value in given if name == "Environment"]
    ours = [name[10:].lower() for name in variables if name.startswith("MEDSIGLIP_")]
    assert ours
    assert set(ours) <= set(Settings.model_fields)


@dataclass(frozen=True)
class Service:
    """What the command of the unit started: its process, URL, log file, and a key of its archive."""

    started: Started
    url: str
    log: Path
    key: str

    def lines(self) -> list[dict[str, Any]]:
        """All lines of its log, also those that were moved away."""
        files = [path for path in (self.log.with_suffix(".log.1"), self.log) if path.exists()]
        return [json.loads(line) for path in files for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    folder.chmod(0o755)
    (folder / "settings.toml").write_text("min_free_bytes = 0\n")
    with CaseIndex.open(folder / "home") as index:
        key = index.api_keys.create("one", ["admin"])[1]
    _, option, config, *words = dict(directives((SAMPLES / "systemd.service").read_text()))[
        "ExecStart"
    ].split()
    assert (option, config) == ("--config", "/etc/medsiglip.toml")
    log = folder / "medsiglip.log"
    environment = {"FORWARDED_ALLOW_IPS": "127.0.0.1", "MEDSIGLIP_LOG_FILE": str(log)}
    environment |= {"MEDSIGLIP_CONFIG": str(folder / "settings.toml")}
    started = Started(folder / "home", (*words, "--port", "0"), environment=environment)
    try:
        yield Service(started, str(started.answer()["url"]), log, key)
    finally:
        started.end()


@pytest.mark.long
def test_the_reload_of_the_unit_ends_nothing(service: Service) -> None:
    given = dict(directives((SAMPLES / "systemd.service").read_text()))
    reload = given["ExecReload"].replace("$MAINPID", str(service.started.process.pid)).split()
    subprocess.run(reload, check=True)
    eventually(lambda: "reloaded; changed: nothing" in service.log.read_text())
    assert httpx.get(f"{service.url}/healthz").status_code == 200


def test_logrotate_moves_the_log_away_and_the_service_goes_on_in_a_new_one(
    tmp_path: Path, service: Service
) -> None:
    logrotate = program("logrotate")
    log, url = service.log, service.url
    httpx.get(f"{url}/healthz")
    eventually(lambda: "/healthz" in log.read_text())
    owner = log.owner()
    rule = (SAMPLES / "logrotate.conf").read_text()
    process_id = service.started.process.pid
    for given, here in (
        ("/var/log/medsiglip/medsiglip.log", str(log)),
        ("su medsiglip medsiglip", f"su {owner} {log.group()}"),
        ("0640 medsiglip medsiglip", f"0640 {owner} {log.group()}"),
        ("/bin/systemctl try-reload-or-restart medsiglip.service", f"kill -HUP {process_id}"),
    ):
        assert given in rule
        rule = rule.replace(given, here)
    (tmp_path / "rule").write_text(rule)
    (tmp_path / "rule").chmod(0o644)
    words = [logrotate, "--force", "--state", str(tmp_path / "state"), str(tmp_path / "rule")]
    turned = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (turned.returncode, turned.stderr) == (0, "")
    eventually(lambda: "reloaded" in log.read_text())
    assert "/healthz" in log.with_suffix(".log.1").read_text()
    httpx.get(f"{url}/readyz", timeout=60)
    eventually(lambda: "/readyz" in log.read_text())
    assert "/readyz" not in log.with_suffix(".log.1").read_text()
    assert all(json.loads(line) for line in log.read_text().splitlines())


@contextmanager
def nginx(tmp_path: Path, upstream: int) -> Iterator[tuple[str, ssl.SSLContext]]:
    """The sample's site on a free port with a certificate of its own."""
    words = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = (SAMPLES / "nginx.conf").read_text()
    for given, here in (
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        ("443", f"127.0.0.1:{port}"),
        ("archive.example;", "localhost 127.0.0.1;"),
        ("/etc/ssl/certs/archive.example.pem", str(tmp_path / "certificate")),
        ("/etc/ssl/private/archive.example.key", str(tmp_path / "key")),
    ):
        assert given in site
        site = site.replace(given, here)
    user = "user root; " if os.geteuid() == 0 else ""  # who else may not enter the folder of a test
    places = " ".join(
        f"{name}_temp_path {tmp_path}/nginx-{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"{user}daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx.log; events {{}} "
        f"http {{ access_log off; {places}\n{site}\n}}"
    )
    log, settings = str(tmp_path / "nginx.log"), str(tmp_path / "nginx.conf")
    words = [program("nginx"), "-p", str(tmp_path), "-e", log, "-c", settings]
    subprocess.run([*words, "-t"], check=True, capture_output=True)
    process = subprocess.Popen(words)
    try:
        yield f"https://127.0.0.1:{port}", ssl.create_default_context(cafile=tmp_path / "certificate")
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


def answers(url: str) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
        return True
    return False


def test_nginx_serves_the_site(tmp_path: Path, service: Service) -> None:
    port = int(service.url.rpartition(":")[2])
    with (
        nginx(tmp_path, port) as (url, context),
        httpx.Client(base_url=url, verify=context, timeout=120) as site,
    ):
        eventually(lambda: answers(url))
        assert site.get("/healthz").json() == {"status": "ok"}
        assert site.get("/v1/jobs").status_code == 401
        assert site.get("/metrics").status_code == 403
        site.headers["Authorization"] = f"Bearer {service.key}"
        assert site.get("/v1/jobs").json()["jobs"] == []
        picture = ("large.dcm", b"\0" * (8 << 20))  # eight times what nginx takes without the sample's line
        job = site.post("/v1/ingest", files={"file": picture}).raise_for_status().json()
        with site.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            assert "event: done" in list(events.iter_lines())
        before = len(service.lines())
        site.get("/healthz", headers={"X-Forwarded-For": "203.0.113.9"})
    eventually(lambda: len(service.lines()) > before)
    clients = {one["client"] for one in service.lines() if "client" in one}
    assert clients == {"127.0.0.1"}  # nginx replaces what a client claims
