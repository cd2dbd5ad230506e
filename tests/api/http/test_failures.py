"""Failures from outside: one clear message, the right exit code, and an unchanged archive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.conftest import Home, Phantoms, run

Make = Callable[[Callable[[dict[str, Any]], None]], Path]
NAME = "vision_model.post_layernorm.weight"
NOBODY = 65534


def intact(home: Home) -> None:
    verified = home.run("index", "verify").json
    assert verified["ok"]
    assert verified["images"] == verified["vectors"] == verified["faiss"] == home.report["images"]


def drop(tensors: dict[str, Any]) -> None:
    del tensors[NAME]


def add(tensors: dict[str, Any]) -> None:
    tensors["vision_model.surplus.weight"] = np.zeros(3, np.float32)


def reshape(tensors: dict[str, Any]) -> None:
    tensors[NAME] = np.append(tensors[NAME], tensors[NAME][:1])


def nudge(tensors: dict[str, Any]) -> None:
    tensors[NAME] = tensors[NAME] * np.float32(1.01)


@pytest.mark.parametrize(
    ("change", "named"), [(drop, NAME), (add, "vision_model.surplus.weight"), (reshape, NAME)]
)
def test_a_checkpoint_with_a_wrong_tensor(
    own_home: Home, phantoms: Phantoms, changed_checkpoint: Make, change: Any, named: str
) -> None:
    folder = changed_checkpoint(change)
    for words in (["ingest", phantoms.dicom], ["search", "--text", "lung"]):
        failed = run("--home", own_home.path, "--model", folder, "--json", *words)
        assert failed.code == 1
        assert failed.error["code"] == "weights-mismatch"
        assert named in failed.error["message"]
    intact(own_home)


def test_a_model_that_does_not_match_the_archive(
    own_home: Home, phantoms: Phantoms, changed_checkpoint: Make, tmp_path: Path
) -> None:
    folder = changed_checkpoint(nudge)
    study = next(iter(phantoms.by_study))
    for words in (
        ["ingest", phantoms.dicom],
        ["search", "--text", "lung"],
        ["search", "--study", study],
        ["classify", "--study", study, "--labels", "lung,heart"],
    ):
        failed = run("--home", own_home.path, "--model", folder, "--json", *words)
        assert failed.code == 1
        assert failed.error["code"] == "space-mismatch"
    intact(own_home)


def test_a_home_keeps_its_model(changed_checkpoint: Make, phantoms: Phantoms, tmp_path: Path) -> None:
    folder = changed_checkpoint(nudge)
    one = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    first = run("--home", tmp_path / "home", "--model", folder, "--json", "ingest", one).json
    found = run("--home", tmp_path / "home", "--json", "search", "--text", "lung").json
    assert found["space"] == first["space"]
    refused = run("--home", tmp_path / "home", "--model", "tiny", "--json", "search", "--text", "lung")
    assert refused.error["code"] == "space-mismatch"


def test_no_checkpoint_at_all(own_home: Home, tmp_path: Path) -> None:
    failed = run(
        "--home", own_home.path, "--model", tmp_path / "absent", "--json", "search", "--text", "lung"
    )
    assert failed.code == 1
    assert failed.error["code"] == "checkpoint-not-found"
    intact(own_home)


def test_an_empty_folder_is_reported(own_home: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = own_home.run("ingest", tmp_path / "empty").json
    assert report["files"] == 0
    assert any("no file" in warning for warning in report["warnings"])
    assert "no file" in own_home.show("ingest", tmp_path / "empty").out
    intact(own_home)


def test_a_missing_folder(own_home: Home, tmp_path: Path) -> None:
    failed = own_home.run("ingest", tmp_path / "absent")
    assert failed.code == 1
    assert failed.error["code"] == "no-such-path"
    intact(own_home)


def test_broken_files_are_quarantined_and_the_others_ingested(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    whole = sorted(phantoms.dicom.rglob("*.dcm"))[0].read_bytes()
    (folder / "text.dcm").write_text("this is text")
    (folder / "empty.dcm").touch()
    (folder / "short.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "shorter.dcm").write_bytes(whole[:400])
    ran = own_home.run("ingest", folder)
    assert ran.code == 0
    codes = {Path(entry["path"]).name: entry["code"] for entry in ran.json["quarantined"]}
    assert codes["text.dcm"] == "not-dicom"
    assert codes["empty.dcm"] == "empty-file"
    assert set(codes) == {"text.dcm", "empty.dcm", "short.dcm", "shorter.dcm"}
    shown = own_home.show("ingest", folder)
    assert shown.code == 0
    assert "fetch it again" in shown.out
    intact(own_home)


AS_NOBODY = """
import os, sys
from pathlib import Path
from medsiglip.api.cli.main import main
place, user = Path(sys.argv[1]), int(sys.argv[2])
home = str(place / "home")
main(["--home", home, "--json", "ingest", str(place / "before")])  # imports what nobody may read
for found in [place / "home", *(place / "home").rglob("*")]:
    os.chown(found, user, user)
os.setgroups([]); os.setgid(user); os.setuid(user)
for words in (["ingest", str(place / "in")], ["ingest", str(place / "in" / "closed")], ["index", "verify"]):
    print("---", flush=True)
    print("---", main(["--home", home, "--json", *words]), flush=True)
"""


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become an ordinary user")
def test_files_without_read_permission(public_folder: Path) -> None:
    (public_folder / "before").mkdir()
    (public_folder / "before" / "text.dcm").write_text("text")
    folder = public_folder / "in"
    (folder / "closed").mkdir(parents=True)
    (folder / "closed" / "a.dcm").write_text("text")
    (folder / "open.dcm").write_text("text")
    (folder / "secret.dcm").write_text("text")
    (folder / "closed").chmod(0)
    (folder / "secret.dcm").chmod(0)
    script = [sys.executable, "-c", AS_NOBODY, str(public_folder), str(NOBODY)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    _, ingested, first, refused, second, verified, third = done.stdout.split("---")
    assert [int(code) for code in (first, second, third)] == [0, 1, 0]
    codes = {Path(entry["path"]).name: entry["code"] for entry in json.loads(ingested)["quarantined"]}
    assert codes == {
        "open.dcm": "not-dicom",
        "secret.dcm": "permission-denied",
        "closed": "permission-denied",
    }
    assert json.loads(refused)["error"]["code"] == "path-unreadable"
    assert json.loads(verified)["ok"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four mebibytes, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, phantoms: Phantoms, home: Home) -> None:
    path = small_disk / "home"
    one = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    first = run("--home", path, "--json", "ingest", one).json
    space_left = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(b"\0" * max(0, space_left - 16_384))
    failed = run("--home", path, "--json", "ingest", phantoms.dicom)
    assert failed.code == 1
    assert failed.error["code"] == "disk-full"
    (small_disk / "ballast").unlink()
    held = Home(path, first)
    intact(held)
    whole = held.run("ingest", phantoms.dicom).json
    assert whole["images"] == home.report["images"]
    assert held.run("index", "verify").json["ok"]


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    failed = run("--home", tmp_path / "home", "--json", "index", "info")
    assert failed.code == 1
    assert failed.error["code"] == "bad-home"


def test_another_secret_key_is_refused(own_home: Home, phantoms: Phantoms) -> None:
    key = own_home.path / "secret.key"
    kept = key.read_bytes()
    key.write_bytes(bytes(32))
    failed = own_home.run("ingest", phantoms.dicom)
    assert failed.code == 1
    assert failed.error["code"] == "key-mismatch"
    key.write_bytes(kept)
    intact(own_home)
