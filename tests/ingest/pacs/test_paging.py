"""Lists that come in pages, from services that page as they like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from medsiglip.ingest.pacs.records import PacsQuery
from medsiglip.ingest.pacs.web.paging import OffsetIgnoredError, Page, Pages
from tests.ingest.pacs.scripted_service import Request, connection, instance_row, service, study_row

ALL = [f"1.2.{number}" for number in range(25)]


class Service:
    """Gives `cap` items at most, from the offset unless it `ignores` it; `tells` says that there is more."""

    def __init__(self, items: list[str], cap: int, *, ignores: bool = False, tells: bool = False) -> None:
        self.items, self.cap, self.ignores, self.tells = items, cap, ignores, tells
        self.questions = 0

    def ask(self, limit: int, offset: int) -> Page[str]:
        self.questions += 1
        start = 0 if self.ignores else offset
        given = self.items[start : start + min(limit, self.cap)]
        return Page(
            {one: one for one in given}, len(given), self.tells and start + len(given) < len(self.items)
        )


@pytest.mark.parametrize("trusts_short", [False, True])
@pytest.mark.parametrize("tells", [False, True])
@pytest.mark.parametrize("cap", [3, 7, 10, 24, 25, 1000])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 25])
def test_all_come_once(count: int, cap: int, tells: bool, trusts_short: bool) -> None:
    given = Service(ALL[:count], cap, tells=tells)
    assert list(Pages(10, trusts_short=trusts_short).records(given.ask, 1000)) == ALL[:count]


@pytest.mark.parametrize("most", [1, 9, 10, 11, 24])
def test_no_more_than_wanted_come(most: int) -> None:
    given = Service(ALL, 1000)
    assert list(Pages(10).records(given.ask, most)) == ALL[:most]
    assert given.questions == -(-most // 10)


def test_short_pages_end_lists_where_longer_ones_came_before() -> None:
    pages = Pages(10, trusts_short=True)
    assert len(list(pages.records(Service(ALL[:5], 1000).ask, 1000))) == 5
    later = Service(ALL[:4], 1000)
    assert len(list(pages.records(later.ask, 1000))) == 4
    assert later.questions == 1
    # A service that gives five at most looks the same, and is asked until there is no more.
    assert list(pages.records(Service(ALL, 5).ask, 1000)) == ALL


@pytest.mark.parametrize("tells", [False, True])
def test_services_that_begin_again_are_found_out(tells: bool) -> None:
    cut = Service(ALL, 10, ignores=True, tells=tells)
    with pytest.raises(OffsetIgnoredError):
        list(Pages(10).records(cut.ask, 1000))
    # One that gave fewer than it was asked for has given all that it has.
    whole = Service(ALL[:8], 1000, ignores=True)
    assert list(Pages(10).records(whole.ask, 1000)) == ALL[:8]
    assert whole.questions == 2


def test_services_that_do_not_page_at_all() -> None:
    asked: list[int] = []

    def ask(limit: int, offset: int) -> Page[str]:
        asked.append(limit)
        return Page({one: one for one in ALL}, len(ALL))

    assert list(Pages(10).records(ask, 1000)) == ALL
    assert asked == [10]


def answer(
    rows: list[dict[str, object]], *, cap: int = 1000, ignores: bool = False
) -> Callable[[Request], None]:
    def script(request: Request) -> None:
        start = 0 if ignores else int(request.asked["offset"][0])
        request.give_json(rows[start : start + min(cap, int(request.asked["limit"][0]))])

    return script


def test_a_client_asks_for_the_rest() -> None:
    operations: list[int] = []
    with (
        service(answer([study_row(uid) for uid in ALL], cap=10)) as url,
        DicomwebClient(connection(url), operations.append) as client,
    ):
        found = [one.study_instance_uid for one in client.studies(PacsQuery())]
        assert found == ALL
        assert operations == [1] * 4
        assert len(list(client.studies(PacsQuery(limit=12)))) == 12
        assert len(list(client.studies(PacsQuery(study_instance_uid="1.2.3")))) == 1
    with (
        service(answer([instance_row(number) for number in range(25)], cap=4)) as url,
        DicomwebClient(connection(url)) as client,
    ):
        assert len({one.sop_instance_uid for one in client.instances("1.2.3")}) == 25


def test_what_cannot_be_asked_for_is_said() -> None:
    rows = [study_row(f"1.2.{number}") for number in range(2000)]
    with service(answer(rows, ignores=True)) as url, DicomwebClient(connection(url)) as client:
        with pytest.raises(PacsError, match="shorter period") as refused:
            list(client.studies(PacsQuery(limit=2000)))
        assert refused.value.code == "pacs-bad-answer"
