"""What was asked of a PACS, as each kind of home names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pacs.ledger import ask_for, ledger_page, names_of
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import CatalogError
from medsiglip.index.pacs.study_ledger import MOST_ATTEMPTS, Settled
from medsiglip.ingest.privacy.deidentify import bound_key


@pytest.fixture(params=["pseudonymous", "strict"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "home") as opened:
        opened.add_pacs("main", url="http://127.0.0.1:9/dicom-web")
        bound_key(opened.index, request.param)
        yield opened


def asked(archive: Archive, count: int) -> list[str]:
    """Studies that were asked for, one call for each, by the UIDs that the home gives them."""
    return [own for number in range(count) for own in ask_for(archive, "main", [f"1.2.{number}"])]


def test_a_study_is_asked_for_once_by_the_name_that_the_home_gives_it(archive: Archive) -> None:
    key = bound_key(archive.index)
    own = ask_for(archive, "main", ["1.2.1", "1.2.2", "1.2.1"])
    assert own == [key.uid("1.2.1"), key.uid("1.2.2")]
    assert (own == ["1.2.1", "1.2.2"]) is (key.phi == "pseudonymous")
    with pytest.raises(CatalogError) as failed:
        ask_for(archive, "none", ["1.2.1"])
    assert failed.value.code == "unknown-pacs"


def test_pages_hold_every_study_once(archive: Archive) -> None:
    asked(archive, 7)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(4):
        page = ledger_page(archive, "main", status="waiting", cursor=cursor, limit=2)
        seen += [one.study_instance_uid for one in page.studies]
        cursor = page.cursor
    assert cursor is None
    assert seen == [f"1.2.{number}" for number in reversed(range(7))]
    assert ledger_page(archive, "main", status="failed").studies == ()
    longest = ".".join(["1" * 9] * 6) + ".1111"
    assert len(longest) == 64
    ask_for(archive, "main", [longest])
    page = ledger_page(archive, "main", limit=1)
    assert len(ledger_page(archive, "main", cursor=page.cursor).studies) == 7


def test_pages_go_on_after_any_uid_that_a_pacs_gives(archive: Archive) -> None:
    odd = ["1.2.d", "1.2.840_7", "1.2-840", "d1"]
    ask_for(archive, "main", odd)
    seen, cursor = [], None
    for _ in odd:
        page = ledger_page(archive, "main", cursor=cursor, limit=1)
        seen += [one.study_instance_uid for one in page.studies]
        cursor = page.cursor
    assert (len(set(seen)), cursor) == (len(odd), None)


@pytest.mark.parametrize("text", ["Doe^John", "", "1.2 3", "1.2.3…456", "1" * 65, "1.2\n"])
def test_what_is_no_uid_is_not_asked_for_and_not_kept(archive: Archive, text: str) -> None:
    with pytest.raises(ServiceError) as refused:
        ask_for(archive, "main", ["1.2.3", text])
    assert refused.value.code == "bad-pacs-question"
    assert "Doe" not in str(refused.value)
    assert ledger_page(archive, "main").studies == ()


def test_what_is_given_up_has_no_next_moment(archive: Archive) -> None:
    key, ledger = bound_key(archive.index), archive.index.pacs_studies
    ask_for(archive, "main", ["1.2.3"])
    moments = []
    for _ in range(MOST_ATTEMPTS):
        assert ledger.begin("main", "1.2.3")
        ledger.settle("main", [Settled(names_of(key, "1.2.3"), "incomplete", 3, 2)])
        [shown] = ledger_page(archive, "main").studies
        moments.append(shown.not_before is not None)
    assert moments == [True] * (MOST_ATTEMPTS - 1) + [False]


def test_who_may_not_see_uids_sees_those_of_the_home(archive: Archive) -> None:
    own = asked(archive, 3)
    page = ledger_page(archive, "main", limit=2, with_uids=False)
    assert [one.study_instance_uid for one in page.studies] == own[:0:-1]
    if bound_key(archive.index).phi == "pseudonymous":
        assert page.cursor is not None
        return
    assert page.cursor is None
    admins = ledger_page(archive, "main", limit=2)
    with pytest.raises(ServiceError) as refused:
        ledger_page(archive, "main", cursor=admins.cursor, with_uids=False)
    assert refused.value.code == "missing-scope"


def test_a_study_that_is_here_is_known_by_the_home_s_name_alone(archive: Archive) -> None:
    key = bound_key(archive.index)
    names = names_of(key, "1.2.840.99.1")
    ask_for(archive, "main", [names.asked])
    archive.index.pacs_studies.begin("main", names.asked)
    archive.index.pacs_studies.settle("main", [Settled(names, "here", 3, 3)])
    for with_uids in (True, False):
        [one] = ledger_page(archive, "main", with_uids=with_uids).studies
        assert (one.study_instance_uid, one.status, one.not_before) == (names.own, "here", None)


def test_what_is_no_uid_is_not_shown(archive: Archive) -> None:
    [own] = ask_for(archive, "main", ["Doe-Jane"])
    [one] = ledger_page(archive, "main", with_uids=False).studies
    assert one.study_instance_uid == own != "Doe-Jane"
