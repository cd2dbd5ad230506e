"""The page of the screen and its files: where they are, what they may load, how long they are kept."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.http.app import create_app
from medsiglip.api.http.screen import files
from medsiglip.api.http.screen.files import BUILT, POLICY
from medsiglip.api.settings import Settings

PAGE = '<!doctype html><script src="%BUILT%main-ABCD1234.js" type="module"></script>'
SCRIPT = "export const text = 'a script';\n" * 100
URL = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    (folder / "index.html").write_text(PAGE)
    (folder / "main-ABCD1234.js").write_text(SCRIPT)
    (folder / "decode-ABCD1234.wasm").write_bytes(b"\0asm" + bytes(range(256)) * 8)
    (folder / "app-ABCD1234.css").write_text("p{}")
    (folder / "LICENSES.txt").write_text("Of others.")
    (folder / "secret.key").write_text("none of the screen's files")
    (folder.parent / "beside.txt").write_text("not in the folder")
    return folder


@pytest.fixture(scope="module")
def client(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create_app(Settings(home=tmp_path_factory.mktemp("screen") / "home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BUILT", built)
        with TestClient(app, base_url=URL, follow_redirects=False) as client:
            app.state.server.archive.index.api_keys.create("one", ["read"])
            client.headers["Accept-Encoding"] = "identity"
            yield client


@pytest.mark.parametrize("path", ["/", "/app"])
def test_the_first_address_leads_to_the_screen(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, urljoin(URL + path, answer.headers["location"])) == (302, f"{URL}/app/")


@pytest.mark.parametrize("path", ["/app/", "/app/cases", "/app/cases/1.2.3?sort=-added_at", "/app/a/b/c"])
@pytest.mark.parametrize("prefix", ["", "/behind/a/proxy"])
def test_every_address_is_the_page_and_finds_its_script(client: TestClient, path: str, prefix: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-cache"
    [script] = re.findall(r'src="([^"]+)"', answer.text)
    found = urljoin(f"{URL}{prefix}{path}", script)
    assert found == f"{URL}{prefix}/app/built/main-ABCD1234.js"
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert not any("unsafe-inline" in rule or "'unsafe-eval'" in rule for rule in rules.values())
    assert not re.search(r"https?:|\*", POLICY)


@pytest.mark.parametrize(
    ("name", "kind", "kept"),
    [
        ("main-ABCD1234.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("decode-ABCD1234.wasm", "application/wasm", "public, max-age=31536000, immutable"),
        ("app-ABCD1234.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable"),
        ("LICENSES.txt", "text/plain; charset=utf-8", "no-cache"),
    ],
)
def test_files_have_their_type_and_are_kept_by_their_content(
    client: TestClient, built: Path, name: str, kind: str, kept: str
) -> None:
    answer = client.get(f"/app/built/{name}")
    assert answer.content == (built / name).read_bytes()
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == (kind, kept)
    assert answer.headers["content-security-policy"] == POLICY
    assert (
        client.get(f"/app/built/{name}", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    )


def test_files_are_compressed_also_beside_a_cookie(client: TestClient, built: Path) -> None:
    headers = {"Accept-Encoding": "gzip", "Cookie": "medsiglip_session=x"}
    with client.stream("GET", "/app/built/main-ABCD1234.js", headers=headers) as answer:
        sent = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in answer.headers["vary"].lower()
    assert gzip.decompress(sent).decode() == SCRIPT
    assert len(sent) < len(SCRIPT) / 5
    small = client.get("/app/built/app-ABCD1234.css", headers=headers)
    part = client.get("/app/built/main-ABCD1234.js", headers={**headers, "Range": "bytes=0-5"})
    assert "content-encoding" not in small.headers
    assert (part.status_code, part.text) == (206, SCRIPT[:6])
    (built / "main-ABCD1234.js").write_text(SCRIPT + "// other\n")
    try:
        assert client.get("/app/built/main-ABCD1234.js", headers=headers).text.endswith("// other\n")
    finally:
        (built / "main-ABCD1234.js").write_text(SCRIPT)


@pytest.mark.parametrize(
    "name",
    [
        "none.js",
        "secret.key",
        "..%2fbeside.txt",
        "%2e%2e/beside.txt",
        "a%00.js",
        "%C3%A9.js",
        "index",
        "a" * 200,
    ],
)
def test_nothing_else_is_a_file_of_the_screen(client: TestClient, name: str) -> None:
    answer = client.get(f"/app/built/{name}")
    assert answer.status_code == 404
    assert "not in the folder" not in answer.text


def test_a_screen_that_was_not_built_says_so(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BUILT", tmp_path)
    answer = client.get("/app/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert "npm run build" in answer.json()["detail"]


def test_what_lies_in_the_repository_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BUILT", BUILT)
    assert (BUILT / "index.html").is_file()
    with TestClient(create_app(Settings(home=tmp_path / "home")), base_url=URL) as client:
        page = client.get("/app/cases/1.2")
        names = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len([name for name in names if name.startswith("../built/")]) >= 3
        for name in names:
            assert name == "data:," or client.get(urljoin("/app/cases/1.2", name)).status_code == 200
