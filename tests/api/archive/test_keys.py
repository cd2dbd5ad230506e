"""Keys at the command line and the first key of a fresh home."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medsiglip.api.archive.keys import expiry, take_bootstrap_key
from medsiglip.api.errors import ServiceError
from medsiglip.index.case_index import CaseIndex
from tests.api.conftest import run

NOW = datetime(2030, 1, 10, 12, 0, tzinfo=UTC)


def test_a_key_is_shown_once_and_opens_until_it_is_revoked(tmp_path: Path) -> None:
    home = tmp_path / "fresh"
    made = run("--home", home, "--json", "keys", "create", "viewer", "--scopes", "write,read").json
    assert (made["name"], made["scopes"], made["expires_at"]) == ("viewer", ["read", "write"], None)
    listed = run("--home", home, "--json", "keys", "list")
    assert [key["id"] for key in listed.json["keys"]] == [made["id"]]
    assert made["key"].rsplit("_", 1)[1] not in listed.out
    with CaseIndex.open(home) as index:
        found = index.api_keys.find(made["key"])
        assert found is not None
        assert found.id == made["id"]
    revoked = run("--home", home, "--json", "keys", "revoke", made["id"]).json
    assert revoked["revoked_at"] is not None
    with CaseIndex.open(home) as index:
        assert index.api_keys.find(made["key"]) is None
        told = [(one.event.action, one.event.details["key_id"]) for one in index.audit.events()]
        assert told == [("create-key", made["id"]), ("revoke-key", made["id"])]
        assert {one.event.actor.split(":")[0] for one in index.audit.events()} == {"local"}


def test_a_person_sees_the_key_and_its_state(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shown = run("--home", home, "keys", "create", "one", "--scopes", "read", "--expires", "30d").out
    assert "msk_" in shown
    assert "not shown again" in shown
    key_id = shown.split("msk_")[1][:12]
    assert "live" in run("--home", home, "keys", "list").out
    assert key_id in run("--home", home, "keys", "revoke", key_id).out
    assert "revoked" in run("--home", home, "keys", "list").out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("create", "x", "--scopes", "read,root"), "bad-scope"),
        (("create", "x", "--scopes", ","), "bad-scope"),
        (("create", " ", "--scopes", "read"), "bad-key-name"),
        (("create", "a\nb", "--scopes", "read"), "bad-key-name"),
        (("create", "x", "--scopes", "read", "--expires", "soon"), "bad-expiry"),
        (("create", "x", "--scopes", "read", "--expires", "2001-01-01"), "bad-expiry"),
        (("revoke", "0" * 12), "unknown-key"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    CaseIndex.open(tmp_path / "home").close()
    failed = run("--home", tmp_path / "home", "--json", "keys", *words)
    assert (failed.code, failed.error["code"]) == (1, code)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("12h", NOW + timedelta(hours=12)),
        ("30d", NOW + timedelta(days=30)),
        ("8w", NOW + timedelta(weeks=8)),
        ("2030-01-10", datetime(2030, 1, 10, 23, 59, 59, 999999, tzinfo=UTC)),
        ("2030-01-10T13:00", datetime(2030, 1, 10, 13, tzinfo=UTC)),
        ("2030-01-10T13:30+01:00", datetime(2030, 1, 10, 12, 30, tzinfo=UTC)),
    ],
)
def test_expiries(text: str, end: datetime) -> None:
    assert expiry(text, NOW) == end


@pytest.mark.parametrize(
    "text", ["0d", "-3d", "30", "30m", "2030-01-10T12:00", "2030-13-01", "", "99999999w"]
)
def test_what_is_no_expiry(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        expiry(text, NOW)
    assert caught.value.code == "bad-expiry"


def secret_file(folder: Path, content: str, mode: int = 0o600) -> Path:
    file = folder / "secret"
    file.write_text(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("secret", ["9f" * 16 + "0123456789abcdef" * 2, "msk_" + "ab" * 6 + "_" + "cd" * 32])
def test_the_first_key_comes_from_a_file(tmp_path: Path, secret: str) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        file = secret_file(tmp_path, secret + "\n", 0o444)
        made = take_bootstrap_key(index, file)
        assert (made.name, made.scopes) == ("bootstrap", ("admin",))
        assert take_bootstrap_key(index, file) == made
        assert index.api_keys.find(secret) == made
        file.chmod(0o600)
        other = take_bootstrap_key(index, secret_file(tmp_path, "0123456789abcdef" * 4))
        assert [key.id for key in index.api_keys.listed()] == [made.id, other.id]
        index.api_keys.revoke(other.id)
        assert take_bootstrap_key(index, file).revoked_at is not None
        assert index.api_keys.find("0123456789abcdef" * 4) is None
        assert index.audit.head()[0] == 2


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        ("", 0o600, "is empty"),
        (" \n", 0o600, "is empty"),
        ("password", 0o600, "guessed"),
        ("two lines of something\n" * 2, 0o600, "guessed"),
        ("0123456789abcdef" * 4, 0o666, "everybody"),
    ],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: str, mode: int, reason: str) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        with pytest.raises(ServiceError, match=reason) as caught:
            take_bootstrap_key(index, secret_file(tmp_path, content, mode))
        assert caught.value.code == "bad-bootstrap-key"
        assert str(tmp_path / "secret") in str(caught.value)
        assert content.strip() == "" or content.strip() not in str(caught.value)
        assert not index.api_keys.any_made()


def test_a_file_that_is_not_there_or_not_readable(tmp_path: Path) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        with pytest.raises(ServiceError, match="no such file"):
            take_bootstrap_key(index, tmp_path / "absent")
        if os.geteuid() != 0:
            with pytest.raises(ServiceError, match="permission denied"):
                take_bootstrap_key(index, secret_file(tmp_path, "0123456789abcdef" * 4, 0o000))
