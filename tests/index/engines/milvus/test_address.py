"""The setting `vector_url` of a Milvus server: what it may hold, and that no secret of it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsiglip.index.engines.milvus.address import read_address
from medsiglip.index.engines.milvus.milvus_engine import MilvusEngine
from medsiglip.index.errors import CatalogError

SECRET = "hush: a/secret"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    return file


@pytest.mark.parametrize(
    ("url", "name", "uri"),
    [
        ("milvus://engine", "milvus://engine:19530/default", "http://engine:19530"),
        ("milvus://engine:1/", "milvus://engine:1/default", "http://engine:1"),
        ("milvuss://engine/scans", "milvuss://engine:19530/scans", "https://engine:19530"),
        ("milvus://[::1]:7/a", "milvus://[::1]:7/a", "http://[::1]:7"),
    ],
)
def test_an_address_has_a_name_and_a_database(url: str, name: str, uri: str) -> None:
    address = read_address(url)
    assert (address.name, address.uri, address.secure) == (name, uri, uri.startswith("https"))
    assert MilvusEngine(url, "0").name == name


def test_user_and_password_are_never_shown(password: Path) -> None:
    address = read_address("milvus://r%C3%B6ntgen@engine/scans?consistency=strong", password)
    assert (address.user, address.password, address.waits) == ("röntgen", SECRET, True)
    for shown in (repr(address), address.name, address.uri):
        assert SECRET not in shown
        assert "röntgen" not in shown


def test_options_of_tls() -> None:
    address = read_address("milvuss://engine?ca=/etc/ca.pem&server_name=milvus.example")
    assert (address.ca, address.server_name) == (Path("/etc/ca.pem"), "milvus.example")


@pytest.mark.parametrize(
    ("url", "with_file", "why"),
    [
        ("milvus://", False, "names no server"),
        ("milvus://engine:port", False, "no URL"),
        ("http://engine", False, "names no server"),
        ("milvus://root:hush@engine", True, "holds a password"),
        ("milvus://root@engine", False, "go together"),
        ("milvus://engine", True, "go together"),
        ("milvus://engine/a/b", False, "without a slash"),
        ("milvus://engine?consistency=weak", False, "consistency=strong"),
        ("milvus://engine?token=hush", False, "it may have"),
        ("milvus://engine?hush", False, "no URL"),
    ],
)
def test_a_wrong_address_is_refused_with_its_cure(
    url: str, with_file: bool, why: str, password: Path
) -> None:
    with pytest.raises(CatalogError, match=why) as refused:
        read_address(url, password if with_file else None)
    assert refused.value.code == "bad-engine"
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff"])
def test_a_password_file_that_cannot_be_used_is_refused(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CatalogError, match="vector_password_file") as refused:
        read_address("milvus://root@engine", file)
    assert refused.value.code == "bad-engine"
