"""What is new in an Orthanc, by the list of changes of its REST API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.client import Spend, no_limit
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.web.dicom_json import usable_uid
from medsiglip.ingest.pacs.web.http_exchange import Asked, HttpExchange

PAGE = 1000
# A study that grows is told by its instances alone if Orthanc ends before it calls the study stable.
_TELLING = frozenset({"NewStudy", "NewSeries", "NewInstance", "StableStudy", "StableSeries"})


def changes(connection: Connection, since: int, spend: Spend = no_limit) -> Iterator[tuple[int, str]]:
    """The studies in which something is new after the change `since`, 0 for all that is there, each with the
    number from which to go on once it was dealt with.

    A study comes once for each page of changes that speaks of it: what is done with it must be idempotent.
    Numbers begin anew with an Orthanc that was emptied; then all of it comes. Needs Orthanc 1.9.4 or later.
    Raises `PacsError` as `PacsClient` does.
    """
    with closing(HttpExchange(connection)) as exchange:
        yield from _ChangeList(connection, exchange, spend).after(since)


class _ChangeList:
    def __init__(self, connection: Connection, exchange: HttpExchange, spend: Spend) -> None:
        if connection.changes_url is None:
            raise PacsError(
                "bad-connection", f"The connection {connection.name} has no changes_url to ask for changes."
            )
        self._root = connection.changes_url.rstrip("/")
        self._exchange = exchange
        self._spend = spend

    def after(self, since: int) -> Iterator[tuple[int, str]]:
        newest = self._number(self._get(("last", "")), "Last")
        if newest < since:
            since = 0
        while since < newest:
            page = self._get(("since", str(since)), ("limit", str(PAGE)))
            rows = page.get("Changes")
            last = self._number(page, "Last")
            if not isinstance(rows, list) or last <= since:
                raise self._exchange.bad_answer("its list of changes does not go on")
            studies = self._studies_of([row for row in rows if isinstance(row, dict)])
            for number, study in enumerate(studies, 1):
                # Of the studies of a page the last one alone says that the page is done.
                yield (last if number == len(studies) else since), study
            since = last
            if page.get("Done") is True:
                return

    def _studies_of(self, rows: list[dict[str, Any]]) -> list[str]:
        """The UIDs of the studies that rows speak of, without those that Orthanc has no more."""
        named = [
            row["ID"]
            for row in rows
            if row.get("ChangeType") in _TELLING and isinstance(row.get("ID"), str) and len(row["ID"]) <= 64
        ]
        if not named:
            return []
        found = self._asked("/tools/bulk-content", _json({"Resources": named, "Level": "Study"}))
        if not isinstance(found, list):
            raise self._exchange.bad_answer("its list of studies is none")
        uids = [_uid_of(study) for study in found]
        return list(dict.fromkeys(uid for uid in uids if uid is not None))

    def _get(self, *parameters: tuple[str, str]) -> dict[str, Any]:
        self._spend(1)
        url = f"{self._root}/changes"
        page = self._exchange.json(Asked(url, accept="application/json", parameters=parameters))
        if not isinstance(page, dict):
            raise self._exchange.bad_answer("its list of changes is none: check changes_url")
        return page

    def _asked(self, path: str, body: bytes) -> Any:
        self._spend(1)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        url = f"{self._root}{path}"
        asked = Asked(url, "application/json", "POST", headers=headers, content=lambda: [body])
        return self._exchange.json(asked)

    def _number(self, page: dict[str, Any], name: str) -> int:
        value = page.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
            raise self._exchange.bad_answer("its list of changes has no numbers: check changes_url")
        return value


def _uid_of(study: Any) -> str | None:
    tags = study.get("MainDicomTags") if isinstance(study, dict) else None
    uid = tags.get("StudyInstanceUID") if isinstance(tags, dict) else None
    return usable_uid(uid) if isinstance(uid, str) else None


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
