"""The samples for Orthanc: stable studies are told to the archive, once brought in however often they are
told, and a button of Orthanc Explorer leads to similar cases.
"""

from __future__ import annotations

import http.server
import importlib.util
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import Settings
from tests.api.archive.pacs.orthanc import PLUGIN, Orthanc, Setup, needs_orthanc
from tests.api.conftest import Phantoms
from tests.ingest.pacs.scripted_service import service as scripted
from tests.repository import ROOT
from tests.waiting import eventually
from tests.web.browsing import chromium

pytestmark = needs_orthanc
SAMPLES = ROOT / "docs" / "samples"
PYTHON_PLUGIN = PLUGIN.with_name("libOrthancPython.so")
KEY = "a_key_of_the_archive"


@dataclass
class Ear:
    """Stands where the archive would, and keeps what it is told; the first answers are `failing`."""

    url: str = ""
    told: list[tuple[str, str | None]] = field(default_factory=list)
    failing: int = 0
    pass_on: Callable[[str, str], int] = lambda path, key: 202


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.told.append((self.path, self.headers.get("Authorization")))
            made.failing -= 1
            status = made.pass_on(self.path, str(self.headers.get("Authorization")))
            self.send_response(503 if made.failing >= 0 else status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def studies(phantoms: Phantoms) -> dict[str, list[Path]]:
    """The files of two studies by UID."""
    found: dict[str, list[Path]] = {}
    for path in sorted(phantoms.dicom.rglob("*.dcm")):
        header = pydicom.dcmread(path, specific_tags=["StudyInstanceUID", "Modality"])
        if header.Modality in ("CR", "DX"):
            found.setdefault(str(header.StudyInstanceUID), []).append(path)
    return dict(list(found.items())[:2])


@pytest.fixture
def environment(ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the samples read."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    for name, value in (("ADDRESS", ear.url), ("PACS", "orthanc"), ("KEY_FILE", str(tmp_path / "key"))):
        monkeypatch.setenv(f"MEDSIGLIP_{name}", value)


def told_of(ear: Ear, uids: list[str]) -> bool:
    return {path for path, _ in ear.told} >= {f"/v1/pacs/orthanc/studies/{uid}" for uid in uids}


@pytest.mark.usefixtures("environment")
def test_orthanc_tells_of_stable_studies_by_lua_and_each_comes_in_once(
    ear: Ear, studies: dict[str, list[Path]], tmp_path: Path
) -> None:
    options = {"StableAge": 1, "LuaScripts": [str(SAMPLES / "orthanc.lua")]}
    with (
        Orthanc(tmp_path / "orthanc", Setup(options=options)) as orthanc,
        Archive(tmp_path / "home") as archive,
    ):
        archive.add_pacs("orthanc", url=orthanc.dicomweb_url)
        (tmp_path / "key").write_text(f"{archive.index.api_keys.create('orthanc', ['write'])[1]}\n")
        with TestClient(create_app(Settings(home=archive.home))) as service:

            def pass_on(path: str, key: str) -> int:
                return service.post(path, headers={"Authorization": key}).status_code

            ear.pass_on = pass_on
            for files in studies.values():
                orthanc.upload(files)
            eventually(lambda: told_of(ear, list(studies)))
            for path, key in tuple(ear.told):
                assert pass_on(str(path), str(key)) == 202  # as Orthanc tells some studies twice
        jobs = archive.index.jobs.listed()
        assert [job.kind for job in jobs] == ["pacs-pull"] * len(studies)
        eventually(lambda: worked_off(archive))
        assert {job.status for job in archive.index.jobs.listed()} == {"done"}
        assert {one["study_instance_uid"] for one in archive.studies()["studies"]} == set(studies)
        pictures = sum(len(files) for files in studies.values())
        assert archive.index.info().images == pictures == len(orthanc.sops())
    assert "Lua error" not in (tmp_path / "orthanc" / "orthanc.log").read_text()


@pytest.mark.usefixtures("environment")
def test_the_key_goes_to_the_archive_alone(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    names = ("RegisterOnChangeCallback", "ExtendOrthancExplorer")
    orthanc = SimpleNamespace(LogWarning=said.append, **dict.fromkeys(names, lambda _given: None))
    monkeypatch.setitem(sys.modules, "orthanc", orthanc)
    monkeypatch.setenv("http_proxy", ear.url)
    with scripted(lambda request: request.give(302, Location=f"{ear.url}/else")) as url:
        monkeypatch.setenv("MEDSIGLIP_ADDRESS", url)
        spec = importlib.util.spec_from_file_location("orthanc_sample", SAMPLES / "orthanc_plugin.py")
        assert spec is not None
        assert spec.loader is not None
        sample = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sample)
        sample.tell("1.2.3")
    assert ear.told == []
    assert len(said) == 1


def worked_off(archive: Archive) -> bool:
    """Whether all jobs have ended, after those that are due were done: an announced one waits for a while."""
    Worker(archive).run(once=True)
    return all(job.is_final for job in archive.index.jobs.listed())


@pytest.mark.long
@pytest.mark.usefixtures("environment")
@pytest.mark.skipif(not PYTHON_PLUGIN.exists(), reason="Orthanc's Python plugin is not installed")
def test_orthanc_tells_of_stable_studies_and_shows_a_button_by_python(
    ear: Ear, studies: dict[str, list[Path]], tmp_path: Path
) -> None:
    sample = tmp_path / "orthanc_plugin.py"
    shutil.copy(SAMPLES / "orthanc_plugin.py", sample)
    sample.write_text(sample.read_text().replace("(0, 5, 30, 120)", "(0, 0.2)"))
    options = {"StableAge": 1, "PythonScript": str(sample), "Plugins": [str(PLUGIN), str(PYTHON_PLUGIN)]}
    ear.failing = 1
    with Orthanc(tmp_path / "orthanc", Setup(options=options)) as orthanc:
        for files in studies.values():
            orthanc.upload(files)
        eventually(lambda: told_of(ear, list(studies)))
        assert len(ear.told) >= len(studies) + 1  # one was told again
        uid, identifier = next(
            (one["MainDicomTags"]["StudyInstanceUID"], one["ID"])
            for one in orthanc.http.get("/studies", params={"expand": ""}).json()
        )
        with chromium() as browser:
            page = browser.new_page()
            page.goto(f"{orthanc.url}/app/explorer.html#study?uuid={identifier}")
            with page.expect_popup() as opened:
                page.locator("#similar-cases").click()
            opened.value.wait_for_url(f"{ear.url}/app/search?study={uid}")
    assert {key for _, key in ear.told} == {f"Bearer {KEY}"}
    assert KEY not in (tmp_path / "orthanc" / "orthanc.log").read_text()


def test_the_samples_hold_no_key_and_read_what_is_documented() -> None:
    for name in ("orthanc.lua", "orthanc_plugin.py"):
        text = (SAMPLES / name).read_text()
        for variable in ("MEDSIGLIP_ADDRESS", "MEDSIGLIP_PACS", "MEDSIGLIP_KEY_FILE"):
            assert variable in text
    compile((SAMPLES / "orthanc_plugin.py").read_text(), "orthanc_plugin.py", "exec")
