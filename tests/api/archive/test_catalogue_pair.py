"""A mistyped, lost or older database, met at the command line: refused with the cure, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.api.conftest import Home, Phantoms, run

pytestmark = pytest.mark.long


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def aged_home(phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An archive with its catalogue elsewhere, a preview and a probe, all of them three days old."""
    monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", f"sqlite:///{tmp_path / 'right.db'}")
    path = tmp_path / "home"
    home = Home(path, run("--home", path, "--json", "ingest", phantoms.dicom).json)
    assert home.run("probe", "train", "skin", "--labels", phantoms.labels).code == 0
    (path / "previews").mkdir(exist_ok=True)
    (path / "previews" / "1.512.png").write_bytes(b"picture")
    upload = path / "received" / "0123456789abcdef"
    upload.mkdir(parents=True)
    (upload / "000000.dcm").write_bytes(b"x")
    moment = time.time() - 3 * 86_400
    for one in path.rglob("*"):
        os.utime(one, (moment, moment))
    return home


def answers(home: Home) -> object:
    found = home.run("search", "--text", "skin lesion", "-k", 5).json
    return [(hit["image_id"], round(hit["score"], 6)) for hit in found["hits"]]


@pytest.mark.parametrize("how", ["mistyped", "unset"])
def test_every_command_refuses_an_empty_catalogue(
    aged_home: Home, phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    asked, before = answers(aged_home), files(aged_home.path)
    with monkeypatch.context() as other:
        if how == "mistyped":
            other.setenv("MEDSIGLIP_DATABASE_URL", f"sqlite:///{tmp_path / 'wrong.db'}")
        else:
            other.delenv("MEDSIGLIP_DATABASE_URL")
        for words in (
            ["ingest", phantoms.dicom],
            ["ingest", phantoms.dicom],
            ["search", "--text", "lung"],
            ["study", "list"],
            ["index", "verify"],
            ["index", "compact"],
            ["index", "rebuild"],
            ["index", "recover"],
            ["worker", "--once"],
        ):
            failed = aged_home.run(*words)
            assert failed.code == 1
            assert failed.error["code"] == "other-catalogue"
            assert "MEDSIGLIP_DATABASE_URL" in failed.error["message"]
            assert "right.db" in failed.error["message"], "where the catalogue was"
    assert files(aged_home.path) == before
    assert not (tmp_path / "wrong.db").exists()
    assert aged_home.run("index", "verify").json["ok"]
    assert answers(aged_home) == asked


def test_an_older_catalogue_is_refused_and_can_be_gone_on_with(
    aged_home: Home, phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    asked = answers(aged_home)
    shutil.copy(tmp_path / "right.db", tmp_path / "backup.db")
    for study in make_studies(2, 77, ["chest-xray"]):
        write_study(study, tmp_path / "more")
    assert aged_home.run("ingest", tmp_path / "more").json["embedded"] == 2
    assert aged_home.run("index", "compact").code == 0
    before = files(aged_home.path)
    monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", f"sqlite:///{tmp_path / 'backup.db'}")
    for words in (["ingest", phantoms.dicom], ["search", "--text", "lung"], ["index", "verify"]):
        failed = aged_home.run(*words)
        assert failed.error["code"] == "older-catalogue"
        assert "index recover" in failed.error["message"]
    assert {p: c for p, c in files(aged_home.path).items() if p.name != "identity.json"} == {
        p: c for p, c in before.items() if p.name != "identity.json"
    }
    recovered = aged_home.run("index", "recover").json
    assert recovered["missing"] == 0
    assert recovered["set_aside"] >= 1
    assert aged_home.run("index", "verify").json["ok"]
    assert answers(aged_home) == asked
    assert aged_home.run("ingest", tmp_path / "more").json["embedded"] == 2
    assert aged_home.run("index", "verify").json["ok"]
    shown = aged_home.show("index", "recover")
    assert (shown.code, "set aside" in shown.out) == (0, True)
    audit = aged_home.run("audit", "list").json
    assert "recover" in {event["action"] for event in audit["events"]}


def test_a_catalogue_with_another_folder_is_refused(aged_home: Home, tmp_path: Path) -> None:
    failed = run("--home", tmp_path / "elsewhere", "--json", "study", "list")
    assert failed.error["code"] == "other-catalogue"
    assert not (tmp_path / "elsewhere").exists()
    assert aged_home.run("index", "verify").json["ok"]


def test_a_dry_run_of_a_home_with_a_lost_catalogue_is_refused(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    assert own_home.run("ingest", phantoms.dicom, "--dry-run").json["embedded"] == 0
    saved = (own_home.path / "catalog.db").rename(tmp_path / "saved.db")
    failed = own_home.run("ingest", phantoms.dicom, "--dry-run")
    assert failed.error["code"] == "other-catalogue"
    saved.rename(own_home.path / "catalog.db")
    assert own_home.run("ingest", phantoms.dicom, "--dry-run").json["embedded"] == 0
