"""What only asks makes no archive: a mistyped --home is one sentence and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.conftest import Phantoms, run

ASKING = [
    ("search", "--text", "lung"),
    ("search", "--image", "{file}"),
    ("search", "--study", "1.2"),
    ("classify", "--image", "{file}", "--labels", "a,b"),
    ("classify", "--study", "1.2", "--prompts", "phantoms"),
    ("study", "list"),
    ("study", "show", "1.2"),
    ("forget", "--study", "1.2"),
    ("label", "list"),
    ("label", "import", "{labels}"),
    ("probe", "list"),
    ("probe", "show", "x"),
    ("probe", "train", "x", "--label", "melanoma"),
    ("probe", "train", "x", "--labels", "{labels}"),
    ("probe", "predict", "x", "--image", "{file}"),
    ("probe", "predict", "x", "--all"),
    ("evaluate", "retrieval"),
    ("evaluate", "zero-shot", "--prompts", "phantoms"),
    ("evaluate", "probe", "x"),
    ("evaluate", "drift", "--reference", "modality=CT", "--current", "modality=MR"),
    ("evaluate", "robustness", "--prompts", "phantoms"),
    *(("index", verb) for verb in ("info", "verify", "rebuild", "compact")),
    ("index", "export", "--out", "{out}"),
]


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_asking_where_there_is_no_archive(phantoms: Phantoms, tmp_path: Path, words: tuple[str, ...]) -> None:
    file = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    filled = [word.format(file=file, labels=phantoms.labels, out=tmp_path / "out") for word in words]
    failed = run("--home", tmp_path / "typo", "--json", *filled)
    assert failed.code == 1
    assert failed.error["code"] == "no-archive"
    assert str(tmp_path / "typo") in failed.error["message"]
    assert "ingest" in failed.error["message"]
    assert list(tmp_path.iterdir()) == []


def test_embedding_needs_no_archive_and_makes_none(phantoms: Phantoms, tmp_path: Path) -> None:
    file = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    assert run("--home", tmp_path / "home", "embed", file, "--out", tmp_path / "x.parquet").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_a_path_that_is_not_there_makes_no_archive(tmp_path: Path) -> None:
    failed = run("--home", tmp_path / "home", "--json", "ingest", tmp_path / "absent")
    assert failed.error["code"] == "no-such-path"
    assert list(tmp_path.iterdir()) == []


def test_what_ingest_makes_is_for_its_owner_only(phantoms: Phantoms, tmp_path: Path) -> None:
    file = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    home = tmp_path / "new" / "home"
    assert run("--home", home, "ingest", file).code == 0
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "catalog.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("metadata-unreadable", ("--metadata", "{out}/absent.csv")),
        ("report-not-writable", ("--report", "{out}/absent/report.csv")),
        ("no-such-path", ("{out}/absent",)),
    ],
)
def test_an_ingest_that_cannot_begin_makes_no_archive(
    phantoms: Phantoms, tmp_path: Path, code: str, options: tuple[str, ...]
) -> None:
    filled = [word.format(out=tmp_path) for word in options]
    failed = run("--home", tmp_path / "typo", "--json", "ingest", phantoms.dicom, *filled)
    assert (failed.code, failed.error["code"]) == (1, code)
    assert not (tmp_path / "typo").exists()
