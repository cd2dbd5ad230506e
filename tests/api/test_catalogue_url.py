"""The password of the catalogue is read from a file and sent only to the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from traceback import format_exception
from urllib.parse import quote

import pytest
from sqlalchemy.engine import make_url

from medsiglip.api.catalogue_url import catalogue_url
from medsiglip.api.errors import ServiceError
from medsiglip.api.settings import Settings, read_settings
from medsiglip.index.errors import CatalogError
from tests.api.conftest import run
from tests.postgresql_server import PostgresqlServer

URL = "postgresql+psycopg://me@db.example:5432/cases"
SECRET = "S3cret of:the/data@base%20ü"


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.model_fields, "config"):
        monkeypatch.delenv(f"MEDSIGLIP_{name.upper()}", raising=False)


def settings(folder: Path, url: str | None, password: bytes | None = None) -> Settings:
    file = None
    if password is not None:
        file = folder / "password"
        file.write_bytes(password)
    return read_settings(home=folder / "home", database_url=url, database_password_file=file)


@pytest.mark.parametrize("ending", ["", "\n", "\n\n"])
def test_the_password_is_inserted_into_the_url(tmp_path: Path, ending: str) -> None:
    made = make_url(str(catalogue_url(settings(tmp_path, URL, (SECRET + ending).encode()))))
    assert made.password == SECRET
    assert made._replace(password=None) == make_url(URL)


def test_without_a_file_the_url_is_unchanged(tmp_path: Path) -> None:
    whole = "postgresql+psycopg://me:old@db.example/cases?connect_timeout=3"
    assert catalogue_url(settings(tmp_path, whole)) == whole
    assert catalogue_url(settings(tmp_path, None)) is None


@pytest.mark.parametrize(
    ("url", "password", "message"),
    [
        (None, b"word", "no database"),
        ("sqlite:////tmp/x.db", b"word", "nobody's"),
        ("postgresql+psycopg://db.example/cases", b"word", "nobody's"),
        ("postgresql+psycopg://me:one@db.example/cases", b"two", "second password"),
        (URL, b"", "one line"),
        (URL, b"\n", "one line"),
        (URL, b"one\ntwo\n", "one line"),
        (URL, b"windows\r\n", "one line"),
        (URL, b"a\0b", "one line"),
        (URL, b"\xff\xfe", "UTF-8"),
    ],
)
def test_invalid_password_files(tmp_path: Path, url: str | None, password: bytes, message: str) -> None:
    with pytest.raises(ServiceError, match=message) as caught:
        catalogue_url(settings(tmp_path, url, password))
    assert caught.value.code == "bad-database-password"
    assert str(tmp_path / "password") in str(caught.value)
    assert "one" not in str(caught.value).replace("one line", "").replace("the one in", "")


def test_a_password_file_must_exist(tmp_path: Path) -> None:
    given = read_settings(database_url=URL, database_password_file=tmp_path)
    with pytest.raises(ServiceError, match="is a directory"):
        catalogue_url(given)
    given = read_settings(database_url=URL, database_password_file=tmp_path / "absent")
    with pytest.raises(ServiceError, match="no such file"):
        catalogue_url(given)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("hush", "bad-database-url"),
        ("postgresql+psycopg://u:hush@h:port/d", "bad-database-url"),
        ("postgresql+nothing://u:hush@h/d", "bad-database-url"),
        ("nothing://u:hush@h/d", "bad-database-url"),
        ("postgresql+pg8000://u:hush@h/d", "no-database-driver"),
    ],
)
def test_an_invalid_url_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, code: str
) -> None:
    monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", url)
    failed = run("--home", tmp_path / "home", "--json", "index", "info")
    assert failed.error["code"] == code
    assert "hush" not in failed.out + failed.err


def test_a_server_that_requires_the_password(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    postgresql_server: PostgresqlServer,
    new_database: Callable[[], str],
) -> None:
    login = postgresql_server.new_login(new_database(), "archivist", SECRET)
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", login)
    monkeypatch.setenv("MEDSIGLIP_DATABASE_PASSWORD_FILE", str(file))
    command = ("--home", tmp_path / "home", "--json")
    made = run(*command, "keys", "create", "one", "--scopes", "read")
    assert made.json["name"] == "one"
    shown = run(*command, "config", "show")
    value = {one["name"]: one["value"] for one in shown.json["settings"]}
    assert (value["database_url"], value["database_password_file"]) == (login, str(file))
    file.write_text("a wrong one\n")
    refused = run(*command, "index", "info")
    assert refused.error["code"] == "database-refused"
    with pytest.raises(CatalogError) as caught:
        run(*command, "--debug", "index", "info")
    outputs = [one.out + one.err for one in (made, shown, refused)] + format_exception(caught.value)
    for word in (SECRET, quote(SECRET), "a wrong one", quote("a wrong one")):
        assert word not in "".join(outputs)
