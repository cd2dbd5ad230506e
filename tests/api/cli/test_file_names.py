r"""Names of files that are not UTF-8: no command fails over one, and every answer is UTF-8 with `\xNN` for
such a byte.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import Settings
from tests.api.conftest import Phantoms, Ran, run

pytestmark = pytest.mark.long

ODD = b"M\xfcller-\xe9"
SHOWN = r"M\xfcller-\xe9"
# The files that can be used, below the folder, as they are shown.
GOOD = (
    "good.dcm",
    f"{SHOWN}.dcm",
    f"{SHOWN}.png",
    f"{SHOWN}.nii",
    f"{SHOWN}.mha",
    f"{SHOWN}.mhd",
    f"{SHOWN}.tar!/{SHOWN}.dcm",
    f"{SHOWN}.zip!/{SHOWN}.dcm",
)
BAD = f"{SHOWN} broken.dcm"


def written(ran: Ran) -> Ran:
    """The same output, which a stream of UTF-8 takes."""
    ran.out.encode("utf-8")
    ran.err.encode("utf-8")
    return ran


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, phantoms: Phantoms) -> Path:
    """Files of every kind under names in ISO 8859-1, in a folder with such a name."""
    import SimpleITK

    itk: Any = SimpleITK
    folder = tmp_path_factory.mktemp("names") / os.fsdecode(b"Aufnahmen \xe4")
    folder.mkdir()
    odd = os.fsdecode(ODD)
    studies = [next(study.rglob("*.dcm")) for study in sorted(phantoms.dicom.iterdir())[:4]]
    shutil.copy(studies[0], folder / "good.dcm")
    shutil.copy(studies[1], folder / f"{odd}.dcm")
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    Image.fromarray((grey // 16).astype(np.uint8)).save(folder / f"{odd}.png")
    made = folder.parent / "made"
    made.mkdir()
    for number, suffix in enumerate(("nii", "mha", "mhd")):
        volume = itk.GetImageFromArray(np.stack([grey + number, grey + 7, grey]))
        itk.WriteImage(volume, str(made / f"volume.{suffix}"))
        (made / f"volume.{suffix}").rename(folder / f"{odd}.{suffix}")
    header = (folder / f"{odd}.mhd").read_bytes()
    (folder / f"{odd}.mhd").write_bytes(header.replace(b"volume.raw", ODD + b".raw"))
    (made / "volume.raw").rename(folder / f"{odd}.raw")
    with tarfile.open(folder / f"{odd}.tar", "w") as packed:
        packed.add(studies[2], f"{odd}.dcm")
    name = b"x" * len(ODD) + b".dcm"
    with zipfile.ZipFile(folder / f"{odd}.zip", "w") as zipped:
        info = zipfile.ZipInfo(f"é{name.decode()[2:]}")  # not ASCII: the name gets the flag of UTF-8
        zipped.writestr(info, studies[3].read_bytes())
    content = (folder / f"{odd}.zip").read_bytes()
    (folder / f"{odd}.zip").write_bytes(content.replace("é".encode() + name[2:], ODD + b".dcm"))
    (folder / f"{odd} broken.dcm").write_bytes(b"no DICOM at all")
    return folder


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    """An archive of the folder, with report files beside it."""
    home = folder.parent / "home"
    reports = [word for kind in ("csv", "html") for word in ("--report", folder.parent / f"report.{kind}")]
    ran = written(run("--home", home, "--json", "ingest", folder, "--workers", "1", *reports))
    assert ran.json["files_embedded"] == len(GOOD)
    assert [one["path"] for one in ran.json["quarantined"]] == [place(folder, BAD)]
    return home


def place(folder: Path, name: str) -> str:
    """The absolute path of a file as answers show it."""
    return rf"{folder.parent}/Aufnahmen \xe4/{name}"


def places(folder: Path) -> set[str]:
    return {place(folder, name) for name in GOOD}


def test_render_gives_one_picture_of_each_file(folder: Path, tmp_path: Path) -> None:
    ran = written(run("--json", "render", folder, "--out", tmp_path / "png"))
    assert {one["path"] for one in ran.json["images"]} == places(folder)
    assert [one["path"] for one in ran.json["quarantined"]] == [place(folder, BAD)]
    lines = (tmp_path / "png" / "images.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ran.json["images"]
    assert len(list((tmp_path / "png").glob("*.png"))) == len(lines)
    assert place(folder, BAD) in written(run("render", folder, "--out", tmp_path / "again")).out


def test_the_case(tmp_path: Path, test_cases: Path) -> None:
    """The name that the list of cases tells to make, beside files with good names."""
    cases = json.loads((test_cases / "dicom" / "expected.json").read_text("utf-8"))
    name = b"M\xfcller-\xe9.dcm"
    assert str(name) in cases["names"]["how"]
    inputs = test_cases / "dicom" / "inputs"
    shutil.copy(inputs / "dx16dead.dcm", tmp_path / os.fsdecode(name))
    shutil.copy(inputs / "int8.dcm", tmp_path / "int8.dcm")
    rendered = written(run("--json", "render", tmp_path, "--out", tmp_path / "png")).json
    files = [rf"{tmp_path}/M\xfcller-\xe9.dcm", f"{tmp_path}/int8.dcm", f"{tmp_path}/int8.dcm"]
    assert [one["path"] for one in rendered["images"]] == files
    shutil.rmtree(tmp_path / "png")
    written(run("--home", tmp_path / "h", "--json", "embed", tmp_path, "--out", tmp_path / "e.parquet"))
    assert pq.read_table(tmp_path / "e.parquet")["path"].to_pylist() == files


def test_the_output_of_a_process_is_utf_8(folder: Path, tmp_path: Path) -> None:
    """With streams that refuse surrogates, as in a locale such as en_US.UTF-8."""
    words: list[str | bytes | Path] = [
        "--json",
        "render",
        *sorted(os.fsencode(one) for one in folder.glob("*.png")),
        "--out",
        tmp_path,
    ]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        [sys.executable, "-m", "medsiglip.api.cli", *words], capture_output=True, env=environment, check=True
    )
    answer = json.loads(done.stdout.decode("utf-8"))
    assert [one["path"] for one in answer["images"]] == [place(folder, f"{SHOWN}.png")]
    words = ["--json", "render", b"/no\xfc.dcm", "--out", tmp_path]
    missing = [sys.executable, "-m", "medsiglip.api.cli", *words]
    refused = subprocess.run(missing, capture_output=True, env=environment, check=False)
    assert refused.returncode == 1
    assert r"/no\xfc.dcm" in json.loads(refused.stdout.decode("utf-8"))["error"]["message"]
    assert r"/no\xfc.dcm" in refused.stderr.decode("utf-8")


def test_embed_and_export_write_the_paths(folder: Path, home: Path, tmp_path: Path) -> None:
    run("--home", home, "--json", "embed", folder, "--out", tmp_path / "e.parquet")
    assert set(pq.read_table(tmp_path / "e.parquet")["path"].to_pylist()) == places(folder)
    run("--home", home, "--json", "index", "export", "--out", tmp_path / "export")
    exported = pq.read_table(tmp_path / "export" / "images.parquet")
    assert set(exported["path"].to_pylist()) == places(folder)


def test_reports_name_the_files(folder: Path, home: Path) -> None:
    assert home.exists()
    for kind in ("csv", "html"):
        text = (folder.parent / f"report.{kind}").read_text("utf-8")
        assert place(folder, BAD) in text
    assert {
        line.split(",")[0] for line in (folder.parent / "report.csv").read_text("utf-8").splitlines()
    } >= (places(folder))


def test_questions_name_the_files(folder: Path, home: Path) -> None:
    picture = next(folder.glob("*.png"))
    found = written(run("--home", home, "--json", "search", "--text", "x", "-k", "50", "--level", "image"))
    assert {hit["path"] for hit in found.json["hits"]} == places(folder)
    asked = written(run("--home", home, "--json", "search", "--image", picture))
    assert asked.json["query"]["path"] == place(folder, f"{SHOWN}.png")
    scored = written(run("--home", home, "--json", "classify", "--image", picture, "--labels", "a,b"))
    assert scored.json["image"]["path"] == place(folder, f"{SHOWN}.png")
    broken = next(folder.glob("*broken.dcm"))
    refused = run("--home", home, "--json", "classify", "--image", broken, "--labels", "a,b")
    assert place(folder, BAD) in refused.error["message"]
    both = run("--home", home, "--json", "classify", "--image", broken, "--image", picture, "--labels", "a,b")
    assert [one["path"] for one in both.json["results"]] == [
        place(folder, BAD),
        place(folder, f"{SHOWN}.png"),
    ]
    uid = asked.json["query"].get("study_instance_uid") or found.json["hits"][0]["study_instance_uid"]
    shown = written(run("--home", home, "--json", "study", "show", uid)).json
    assert {image["path"] for image in shown["images"]} <= places(folder)
    for words in (["search", "--text", "x"], ["study", "show", uid]):
        assert "\\x" in written(run("--home", home, *words)).out


def test_tables_may_name_the_files_as_they_are_shown(folder: Path, tmp_path: Path) -> None:
    table = folder.parent / "metadata.csv"
    table.write_text(f"path,modality,label\n{place(folder, SHOWN)}.png,XC,cyst\n", encoding="utf-8")
    home = tmp_path / "home"
    assert run("--home", home, "--json", "ingest", *folder.glob("*.png"), "--metadata", table).code == 0
    labels = run("--home", home, "--json", "label", "list").json["labels"]
    assert [(one["label"], one["n"]) for one in labels] == [("cyst", 1)]
    hits = run("--home", home, "--json", "search", "--text", "x", "--level", "image").json["hits"]
    assert [hit["modality"] for hit in hits] == ["XC"]
    table.write_text(f"path,label:wart\n{place(folder, SHOWN)}.png,1\nno\\xfc.png,1\n", encoding="utf-8")
    imported = written(run("--home", home, "--json", "label", "import", table)).json
    assert (imported["matched"], imported["unmatched"]) == (1, [rf"{folder.parent}/no\xfc.png"])


def test_jobs_and_http_name_the_files_and_deletion_forgets_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSIGLIP_INGEST_ROOTS", str(folder))
    home = tmp_path / "home"
    with Archive(home) as archive:
        archive.make()
        paths = [str(folder)]
        job = archive.index.jobs.submit("ingest", {"paths": paths, "metadata": None, "received": None})
        Worker(archive).run(once=True)
    settings = Settings(home=home, ingest_roots=str(folder.parent))
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        result = client.get(f"/v1/jobs/{job.id}").json()["result"]
        assert [one["path"] for one in result["quarantined"]] == [place(folder, BAD)]
        hits = client.post("/v1/search", json={"text": "x", "k": 50, "level": "image"}).json()["hits"]
        assert {hit["path"] for hit in hits} == places(folder)
        study = client.get(f"/v1/studies/{hits[0]['study_instance_uid']}").json()
        assert {image["path"] for image in study["images"]} <= places(folder)
        for uid in {hit["study_instance_uid"] for hit in hits}:
            assert client.delete(f"/v1/studies/{uid}").status_code == 200
        assert client.get(f"/v1/jobs/{job.id}").json()["result"]["quarantined"] == []
