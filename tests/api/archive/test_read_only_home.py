"""A cleanly closed home answers from where nothing can be written: a file system mounted read-only, or a
folder of another user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.api.conftest import Home, Phantoms, run

QUESTIONS: tuple[Sequence[str], ...] = (
    ("index", "info"),
    ("index", "verify"),
    ("study", "list"),
    ("label", "list"),
    ("probe", "list"),
    ("search", "--study", "STUDY", "-k", "3"),
    ("search", "--text", "melanoma", "-k", "3"),
    ("classify", "--study", "STUDY", "--labels", "melanoma,naevus"),
    ("audit", "verify"),
    ("report", "list"),
)


@pytest.fixture
def closed(own_home: Home) -> Home:
    """An archive that every process has closed, without a snapshot of its search index."""
    shutil.rmtree(own_home.path / "faiss", ignore_errors=True)
    with CaseIndex.open(own_home.path):
        pass
    assert not list(own_home.path.glob("catalog.db-*"))
    return own_home


@pytest.fixture
def mounted(closed: Home, tmp_path: Path) -> Iterator[Path]:
    """The archive, mounted read-only."""
    place = tmp_path / "mounted"
    place.mkdir()
    if subprocess.run(["mount", "--bind", closed.path, place], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount anything")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_home_on_a_read_only_file_system_answers(closed: Home, mounted: Path, phantoms: Phantoms) -> None:
    with pytest.raises(OSError, match="Read-only"):
        (mounted / "x").touch()
    study = phantoms.with_label("melanoma")[0]
    for words in QUESTIONS:
        asked = [study if word == "STUDY" else word for word in words]
        answer = run("--home", mounted, "--json", *asked).json
        expected = closed.run(*asked).json
        for one in (answer, expected):
            one.pop("home", None)
        assert answer == expected, words
        for left in (*closed.path.glob("catalog.db-*"), closed.path / "faiss"):  # of the comparison
            shutil.rmtree(left, ignore_errors=True)
    for words in (("keys", "create", "x", "--scopes", "read"), ("label", "import", str(phantoms.labels))):
        assert run("--home", mounted, "--json", *words).error["code"] == "read-only-home"
    with CaseIndex.open(mounted) as index, pytest.raises(CatalogError) as caught:
        index.health.check_writable()
    assert caught.value.code == "read-only-home"


def test_a_home_that_was_not_closed_is_not_read_past_its_log(closed: Home, mounted: Path) -> None:
    with CaseIndex.open(closed.path) as index:
        index.api_keys.create("one", ["read"])
        assert list(closed.path.glob("catalog.db-wal"))
        seen = run("--home", mounted, "--json", "keys", "list")
        if seen.code:
            assert seen.error["code"] == "read-only-home"
        else:
            assert [one["name"] for one in seen.json["keys"]] == ["one"]


def test_a_reader_notices_that_another_process_opened_the_home(closed: Home, mounted: Path) -> None:
    with CaseIndex.open(mounted) as reader:
        assert reader.api_keys.any_made() is False
        with CaseIndex.open(closed.path) as writer:
            writer.api_keys.create("one", ["read"])
            with pytest.raises(CatalogError) as caught:
                reader.api_keys.any_made()
            assert caught.value.code == "catalog-busy"


def test_a_user_without_the_right_to_write_can_read(closed: Home) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        home = Path(shutil.copytree(closed.path, Path(folder) / "home"))
        for path in (home, *home.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        check_as_another_user(home, closed.report["images"])


def check_as_another_user(home: Path, images: int) -> None:
    code = (
        "import sys; from pathlib import Path; from medsiglip.index.case_index import CaseIndex; "
        "index = CaseIndex.open(Path(sys.argv[1]), create=False); "
        "print(index.info().images, index.verify().ok)"
    )
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", code]
    ran = subprocess.run([*words, str(home)], capture_output=True, text=True, check=False)
    if "Permission denied" in ran.stderr and str(home) not in ran.stderr:
        pytest.skip("another user may not read the interpreter or this checkout")
    assert ran.stdout == f"{images} True\n", ran.stderr
