"""API keys: only a hash is stored, and a key opens nothing once it is revoked or over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.conftest import Catalogue


def test_a_key_is_found_by_its_secret_form_alone(index: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    assert not index.api_keys.any_made()
    made, shown = index.api_keys.create("reader", ["train", "read"])
    assert made.scopes == ("read", "train")
    assert index.api_keys.find(shown) == made
    other = shown[:-1] + ("0" if shown[-1] != "0" else "1")
    for wrong in (other, shown[:-1], shown.upper(), "", "msk_" + "0" * 12 + "_" + "0" * 64, shown + "\n"):
        assert index.api_keys.find(wrong) is None
    secret = shown.rsplit("_", 1)[1]
    written = catalogue.content(home)
    assert secret.encode() not in written
    assert made.id.encode() in written


def test_a_revoked_or_expired_key_opens_nothing_but_the_door_stays_closed(index: CaseIndex) -> None:
    made, shown = index.api_keys.create("one", ["admin"])
    _, over = index.api_keys.create("two", ["read"], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    _, later = index.api_keys.create("three", ["read"], expires_at=datetime.now(UTC) + timedelta(hours=1))
    index.api_keys.revoke(made.id)
    assert index.api_keys.find(shown) is None
    assert index.api_keys.find(over) is None
    assert index.api_keys.find(later) is not None
    assert index.api_keys.any_made()
    assert [key.name for key in index.api_keys.listed()] == ["one", "two", "three"]
    with pytest.raises(CatalogError) as caught:
        index.api_keys.revoke("nothing")
    assert caught.value.code == "unknown-key"


@pytest.mark.parametrize("scopes", [[], ["read", "root"]])
def test_scopes_are_checked(index: CaseIndex, scopes: list[str]) -> None:
    with pytest.raises(CatalogError) as caught:
        index.api_keys.create("one", scopes)
    assert caught.value.code == "bad-scope"


@pytest.mark.parametrize(
    "given", ["msk_" + "ab" * 6 + "_" + "cd" * 32, "0123456789abcdef" * 4, "aB3/+_-~" * 4 + "=="]
)
def test_a_key_made_elsewhere_is_taken_once(
    index: CaseIndex, home: Path, catalogue: Catalogue, given: str
) -> None:
    first, shown = index.api_keys.create("bootstrap", ["admin"], key=given)
    again, _ = index.api_keys.create("bootstrap", ["admin"], key=given)
    assert (shown, again, len(index.api_keys.listed())) == (given, first, 1)
    assert index.api_keys.find(given) == first
    assert index.api_keys.find(given[:-1]) is None
    written = catalogue.content(home)
    assert given.rsplit("_", 1)[-1].encode() not in written
    index.api_keys.revoke(first.id)
    assert index.api_keys.create("bootstrap", ["admin"], key=given)[0].revoked_at is not None
    assert index.api_keys.find(given) is None


@pytest.mark.parametrize(
    "given", ["password", "a" * 31, "0" * 64, "abcd" * 16, "é" * 40, "x y" * 20, "abcdefgh" * 65]
)
def test_a_key_that_can_be_guessed_or_not_be_sent_is_refused(index: CaseIndex, given: str) -> None:
    with pytest.raises(CatalogError) as caught:
        index.api_keys.create("bootstrap", ["admin"], key=given)
    assert caught.value.code == "bad-key"
    assert given not in str(caught.value)
