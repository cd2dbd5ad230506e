"""What names a person is in no byte of any answer; a home's own UIDs are the only ones; files may be gone."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydicom import dcmread

from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from tests.api.conftest import run
from tests.api.http.routes.dicomweb.conftest import SERIES, STUDY, Served, made, save
from tests.api.privacy.traces import found

SECRETS = ("Secretname", "Hidden", "SECRET-77", "ACC-SECRET")
FORMS = (
    {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'},
    {"Accept": 'multipart/related; type="application/octet-stream"'},
)


def everything(http: httpx.Client) -> list[tuple[str, bytes]]:
    """Every answer about every instance, by its address."""
    said = [(path, http.get(path).content) for path in ("/studies", "/series", "/instances")]
    rows = http.get("/instances").json()
    assert rows
    for row in rows:
        study, series, instance = (row[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
        of_it = f"/studies/{study}/series/{series}/instances/{instance}"
        answers = [http.get(f"{of_it}/metadata"), http.get(of_it)]
        answers.append(http.get(of_it, headers={"Accept": "application/dicom; transfer-syntax=*"}))
        answers += [http.get(f"{of_it}/frames/1", headers=form) for form in FORMS]
        answers.append(http.get(f"{of_it}/rendered"))
        said += [(str(one.url), one.content + str(one.headers).encode()) for one in answers]
    return said


@pytest.mark.long
def test_no_planted_word_is_in_any_answer(served: Served) -> None:
    with served.http() as http:
        said = everything(http)
    assert sum(len(content) for _, content in said) > 100_000
    assert found([*SECRETS, *served.planted.words], said) == []


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("strict")
    (base / "files").mkdir()
    save(made(1), base / "files" / "1.dcm")
    assert run("--home", base / "home", "--json", "ingest", base / "files", "--phi", "strict").code == 0
    return base


def test_a_strict_home_knows_its_own_uids_alone(strict: Path) -> None:
    with TestClient(create_app(Settings(home=strict / "home")), base_url="http://127.0.0.1:8000") as http:
        [row] = http.get("/dicom-web/studies").json()
        own = row["0020000D"]["Value"][0]
        assert own.startswith("2.25.")
        assert row["00080020"].get("Value") != ["20240305"]
        assert "Value" not in row["00081030"]
        assert row["00080056"]["Value"] == ["OFFLINE"]
        gone = http.get(f"/dicom-web/studies/{own}/metadata")
        assert (gone.status_code, gone.json()["code"]) == (410, "instance-gone")
        assert "keeps no paths" in gone.json()["detail"]
        for path in (f"/studies/{STUDY}/metadata", f"/studies/{STUDY}", f"/studies/{STUDY}/thumbnail"):
            assert http.get(f"/dicom-web{path}").status_code == 404
        assert http.get(f"/dicom-web/studies?StudyInstanceUID={STUDY}").json() == []
        assert STUDY.encode() not in http.get("/dicom-web/instances").content


def test_files_that_are_gone_or_changed(tmp_path: Path) -> None:
    folder, home = tmp_path / "files", tmp_path / "home"
    folder.mkdir()
    for number in (1, 2, 3):
        save(made(number), folder / f"{number}.dcm")
    assert run("--home", home, "--json", "ingest", folder).code == 0
    first = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1"
    with TestClient(create_app(Settings(home=home)), base_url="http://127.0.0.1:8000") as http:
        assert http.get(f"{first}/frames/1").status_code == 200
        (folder / "1.dcm").touch()  # another time, the same pixels
        assert http.get(f"{first}/frames/1").status_code == 200
        changed = made(1)
        changed.PixelData = np.zeros((24, 32), np.uint16).tobytes()
        save(changed, folder / "1.dcm")
        refused = http.get(f"{first}/frames/1")
        assert (refused.status_code, refused.json()["code"]) == (410, "instance-gone")
        (folder / "1.dcm").unlink()
        for path in (first, f"{first}/metadata", f"{first}/frames/1", f"{first}/rendered"):
            answer = http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (410, "instance-gone"), path
            assert str(folder) not in answer.text
        left = http.get(f"/dicom-web/studies/{STUDY}/metadata")
        assert "1 of 3 instances are left out: their files are gone" in left.headers["warning"]
        assert len(left.json()) == 2
        assert http.get("/dicom-web/studies").json()[0]["00201208"]["Value"] == [3]


def test_the_made_files_hold_what_is_looked_for(served: Served) -> None:
    raw = [(path.name, path.read_bytes()) for path in served.folder.glob("*.dcm")]
    assert {word for _, word in found(SECRETS, raw)} == set(SECRETS)
    assert dcmread(served.folder / "40.dcm").PixelData.count(b"Secretname") == 3
