"""The npm archive of OHIF is unpacked within bounds, and lives below /ohif/."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.viewers import ohif_package
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from tests.api.conftest import Ran, run

PAGE = """<!doctype html><html><head><script>window.PUBLIC_URL = '/';</script>
<link href="/app.bundle.css" rel="stylesheet"><script type="module" src="/init-service-worker.js"></script>
<script src="/app-config.js"></script><script defer src="/app.js"></script></head><body></body></html>"""
FILES: dict[str, bytes] = {
    "package/package.json": json.dumps({"name": "@ohif/app", "version": "3.12.10"}).encode(),
    "package/LICENSE": b"MIT",
    "package/dist/index.html": PAGE.encode(),
    "package/dist/app.js": b'var r={};r.p = "/";load("x.wasm")',
    "package/dist/app.bundle.css": b"a{background:url(/assets/a.png)}b{background:url(//other/b.png)}",
    "package/dist/assets/a.png": b"\x89PNG",
    "package/dist/app-config.js": b"window.config={}",
    "package/dist/sw.js": b"",
    "package/dist/manifest.json": b'{"start_url": "/"}',
    "package/dist/ort/model.onnx": b"weights",
}
Pack = Callable[[dict[str, bytes]], Path]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    def packed(files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
        path = tmp_path / "ohif.tgz"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for info in more:
                archive.addfile(info)
        return path

    return packed


def add(home: Path, file: Path, *more: str) -> Ran:
    return run("--home", home, "--json", "viewer", "add", file, *more)


def test_the_viewer_is_served_below_its_path(tmp_path: Path, pack: Pack) -> None:
    home = tmp_path / "home"
    added = add(home, pack(FILES)).json
    assert (added["name"], added["version"], added["address"]) == ("ohif", "3.12.10", "/ohif/")
    assert run("--home", home, "--json", "viewer", "list").json["viewers"] == [added]
    with TestClient(create_app(Settings(home=home)), base_url="http://127.0.0.1:8000") as http:
        page = http.get("/ohif/viewer?StudyInstanceUIDs=1.2.3")
        assert page.headers["content-type"].startswith("text/html")
        assert "<script>" not in page.text
        assert "service-worker" not in page.text
        assert 'src="/ohif/app.js"' in page.text
        assert "'unsafe-eval'" not in page.headers["content-security-policy"]
        assert http.get("/ohif/app.js").text == 'var r={};r.p = "/ohif/";load("x.wasm")'
        assert http.get("/ohif/app.bundle.css").text.startswith("a{background:url(/ohif/assets/a.png)}b{")
        assert "url(//other/b.png)" in http.get("/ohif/app.bundle.css").text
        assert http.get("/ohif/assets/a.png").headers["content-type"] == "image/png"
        assert "PUBLIC_URL = '/ohif/'" in http.get("/ohif/medsiglip-start.js").text
        configuration = http.get("/ohif/app-config.js").text
        assert '"/dicom-web"' in configuration
        assert "/app/search?study=" in configuration
        assert http.get("/ohif", follow_redirects=False).headers["location"] == "ohif/"
        odd = ("a%00.js", f"{'a' * 300}.js", "app.js/a.js")
        for missing in ("ort/model.onnx", "no.js", "..%2f..%2fcatalog.db", "viewer.exe", "sw.js", *odd):
            assert http.get(f"/ohif/{missing}").status_code == 404, missing
    assert add(home, pack(FILES), "--whole").json["files"] == added["files"] + 1
    assert run("--home", home, "--json", "viewer", "remove", "ohif").json == {"removed": "ohif"}
    assert run("--home", home, "--json", "viewer", "list").json == {"viewers": []}
    assert run("--home", home, "--json", "viewer", "remove", "ohif").error["code"] == "unknown-viewer"
    with TestClient(create_app(Settings(home=home)), base_url="http://127.0.0.1:8000") as http:
        refused = http.get("/ohif/")
        assert (refused.status_code, refused.json()["code"]) == (404, "no-viewer")
    assert list((home / "viewers").iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"package/dist/../../../escaped.txt": b"x"},
        {"/escaped.txt": b"x"},
        {"package/dist/a\nb.js": b"x"},
        {"package/dist/" + "/".join("abcdefghij") + ".js": b"x"},
        {"package/package.json": b'{"name": "left-pad", "version": "1.0.0"}'},
        {"package/package.json": b"no JSON"},
        {"package/dist/app.js": b"built in another way"},
        {"package/package.json": b"[" * 200_000},
        {"package/dist/index.html": b"<html></html>"},
        {"package/dist/index.html": b"\xff\xfe<html></html>"},
    ],
    ids=lambda change: next(iter(change)).replace("\n", "_"),
)
def test_other_archives_are_refused_and_leave_nothing(
    tmp_path: Path, pack: Pack, change: dict[str, bytes]
) -> None:
    home = tmp_path / "home"
    assert add(home, pack({**FILES, **change})).error["code"] == "not-a-viewer"
    assert not list(tmp_path.rglob("escaped.txt"))
    assert list((home / "viewers").iterdir()) == []


def test_links_are_not_followed(tmp_path: Path, pack: Callable[..., Path]) -> None:
    link = tarfile.TarInfo("package/dist/passwd.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    assert add(tmp_path / "home", pack(FILES, link)).code == 0
    assert not (tmp_path / "home" / "viewers" / "ohif" / "passwd.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_describes_no_package(tmp_path: Path, pack: Callable[..., Path], kind: bytes) -> None:
    link = tarfile.TarInfo("package/package.json")
    link.type, link.linkname = kind, "package.json"
    assert add(tmp_path / "home", pack(FILES, link)).error["code"] == "not-a-viewer"


def test_a_head_that_unpacks_to_much_is_not_held(tmp_path: Path) -> None:
    head = tarfile.TarInfo("x")
    head.type, head.size = tarfile.XHDTYPE, 1 << 30
    (tmp_path / "x.tgz").write_bytes(gzip.compress(head.tobuf() + bytes(256 << 20), 1))
    (tmp_path / "out").mkdir()
    tracemalloc.start()
    try:
        with pytest.raises(ServiceError) as refused:
            ohif_package.unpack(tmp_path / "x.tgz", tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert refused.value.code == "not-a-viewer"


def test_large_archives_are_refused(tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in (("MOST_FILES", 3), ("MOST_BYTES", 100), ("MOST_FILE_BYTES", 20)):
        with monkeypatch.context() as patched:
            patched.setattr(ohif_package, name, limit)
            assert add(tmp_path / "home", pack(FILES)).error["code"] == "not-a-viewer"


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(b"no archive")
    assert add(tmp_path / "home", tmp_path / "x.tgz").error["code"] == "not-a-viewer"
    assert add(tmp_path / "home", tmp_path / "missing.tgz").error["code"] == "no-such-path"
