"""Clients may name paths on the server's disk only within the allowed roots."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.files import allowed_path
from medsiglip.api.errors import ServiceError
from medsiglip.ingest.files.walk import walk_files
from medsiglip.ingest.reasons import Rejected


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """`open/` with a folder and links, beside `closed/` and `open-too/`."""
    for name in ("open/cases", "closed", "open-too"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("open/cases/a.png", "closed/secret.png", "open-too/b.png"):
        Image.new("L", (32, 32), 90).save(tmp_path / name)
    (tmp_path / "open/inner").symlink_to(tmp_path / "open/cases")
    (tmp_path / "open/out").symlink_to(tmp_path / "closed")
    (tmp_path / "open/out.png").symlink_to(tmp_path / "closed/secret.png")
    (tmp_path / "open/relative").symlink_to("../closed")
    (tmp_path / "open/loop").symlink_to(tmp_path / "open/loop")
    (tmp_path / "linked-root").symlink_to(tmp_path / "open")
    return tmp_path


def refusal(path: str | Path, *roots: Path) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        allowed_path(path, roots)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize("named", ["open", "open/cases/a.png", "open/inner/a.png", "open/cases/../cases"])
def test_paths_inside_a_root_are_allowed(place: Path, named: str) -> None:
    found = allowed_path(place / named, [place / "closed", place / "open"])
    assert found == (place / named).resolve()
    assert allowed_path(place / named, [place / "linked-root"]) == found


@pytest.mark.parametrize(
    "named",
    [
        "closed/secret.png",
        "closed/absent",
        "open/../closed/secret.png",
        "open/../closed/absent",
        "open/out/secret.png",
        "open/out/absent",
        "open/out.png",
        "open/relative/secret.png",
        "open/inner/../../closed/secret.png",
        "open-too/b.png",
        ".",
    ],
)
def test_paths_outside_are_refused_with_the_same_error_whether_they_exist_or_not(
    place: Path, named: str
) -> None:
    code, message = refusal(f"{place}/{named}", place / "open")
    assert code == "path-not-allowed"
    assert message == refusal("/etc/passwd", place / "open")[1]


def test_invalid_paths_are_refused(place: Path) -> None:
    for named in ("cases/a.png", "", "~/x", f"{place}/open/\0", "file:///etc"):
        assert refusal(named, place / "open")[0] == "path-not-allowed"
    assert refusal(place / "open/absent", place / "open")[0] == "no-such-path"
    assert refusal(place / "open/loop", place / "open")[0] in ("no-such-path", "path-not-allowed")
    assert refusal(place / "open")[0] == "path-not-allowed"


def test_a_walk_does_not_follow_links_out_of_the_root(place: Path) -> None:
    found = list(walk_files([place / "open"], [place / "open"]))
    out = {Path(one.path).name for one in found if isinstance(one, Rejected) and one.code == "outside-roots"}
    assert out == {"out", "out.png", "relative"}
    seen = {Path(one.path).name for one in found if not isinstance(one, Rejected)}
    assert seen == {"a.png"}
    everywhere = {
        Path(one.path).name for one in walk_files([place / "open"]) if not isinstance(one, Rejected)
    }
    assert "secret.png" in everywhere


def test_an_ingest_does_not_follow_links_out_of_the_root(place: Path) -> None:
    with Archive(place / "home") as archive:
        report = archive.ingest([place / "open"], within=[place / "open"])
    assert report["files_embedded"] == 1
    assert {one["code"] for one in report["skipped"]} == {"outside-roots"}
    assert not any("secret" in one["path"] for one in report["quarantined"])
