"""A PACS by DICOMweb (PS3.18): questions by QIDO-RS, instances as stored by WADO-RS, sending by STOW-RS.

dicomweb-client keeps whole answers in memory, reads each instance with pydicom and follows redirects with the
key; it judges this in the tests.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import httpx
from python_multipart.multipart import parse_options_header

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs import changes as change_list
from medsiglip.ingest.pacs.client import Spend, no_limit
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.records import EchoAnswer, PacsInstance, PacsQuery, PacsStudy, StoreOutcome
from medsiglip.ingest.pacs.web.dicom_json import instance_of, study_of, usable_uid
from medsiglip.ingest.pacs.web.http_exchange import Asked, HttpExchange
from medsiglip.ingest.pacs.web.matching import Parameters, fits, matching, needs_encoding, widened
from medsiglip.ingest.pacs.web.paging import OffsetIgnoredError, Page, Pages
from medsiglip.ingest.pacs.web.related_parts import InstancePart, RelatedParts, UnreadablePartsError
from medsiglip.ingest.pacs.web.stored_header import elements_of
from medsiglip.ingest.pacs.web.stow import (
    CANNOT_UNDERSTAND,
    PROCESSING_FAILURE,
    InstanceBody,
    outcome_of,
    sop_instance_uid_of,
)

_LOG = logging.getLogger(__name__)
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_JSON = "application/dicom+json"
_NOTHING = frozenset({204, 404, 410})
STUDIES_AT_ONCE, INSTANCES_AT_ONCE = 500, 1000
MOST_INSTANCES, MOST_WIDENED = 200_000, 10_000
# IssuerOfPatientID, StudyDescription; AvailableTransferSyntaxUID: what PS3.18 does not have returned unasked.
_MORE_OF_STUDIES, _MORE_OF_INSTANCES = ("00100021", "00081030"), ("00083002",)


class Rows(NamedTuple):
    """Items of a list, and whether the service says that there are more."""

    items: list[dict[str, Any]]
    has_more: bool = False


class DicomwebClient:
    """`PacsClient` of a DICOMweb service. Redirects are followed on the same server alone."""

    def __init__(self, connection: Connection, spend: Spend = no_limit) -> None:
        self._connection = connection
        self._spend = spend
        self._root = (connection.url or "").rstrip("/")
        self._exchange = HttpExchange(connection)
        self._study_pages = Pages(STUDIES_AT_ONCE)
        self._instance_pages = Pages(INSTANCES_AT_ONCE, trusts_short=True)
        self._decodes = False

    def echo(self) -> EchoAnswer:
        """Ask for one study. `about` is what the service calls itself in the header Server."""
        self._spend(1)
        begun = time.monotonic()
        with self._exchange.answer(self._asked("/studies", _JSON, [("limit", "1")])) as response:
            self._rows(response)
            server = response.headers.get("Server", "")[:64]
        name = server if server.isascii() and server.isprintable() else ""
        return EchoAnswer(time.monotonic() - begun, f"DICOMweb, {name}" if name else "DICOMweb")

    def studies(self, query: PacsQuery) -> Iterator[PacsStudy]:
        """The studies that match (PS3.18, 8.3.4), a page at a time. What a service does not find that may not
        understand percent-encoding is asked for once more without it.
        """
        asked = matching(query)
        is_encoded = any(needs_encoding(value) for _, value in asked)
        asks_for_one = query.study_instance_uid is not None and usable_uid(query.study_instance_uid)
        found = 0
        for study in self._found(asked, 1 if asks_for_one else query.limit):
            found += 1
            yield study
        if not is_encoded or self._decodes:
            return
        if found:
            self._decodes = True
            return
        for study in self._found(widened(asked), MOST_WIDENED):
            if fits(study, query) and found < query.limit:
                found += 1
                yield study

    def _found(self, asked: Parameters, most: int) -> Iterator[PacsStudy]:
        parameters = [*asked, *(("includefield", tag) for tag in _MORE_OF_STUDIES)]

        def ask(limit: int, offset: int) -> Page[PacsStudy]:
            with self._page("/studies", parameters, limit, offset) as response:
                rows = self._rows(response)
            found = [study for row in rows.items if (study := study_of(row)) is not None]
            self._warn_of_nameless(len(rows.items) - len(found))
            return Page({one.study_instance_uid: one for one in found}, len(rows.items), rows.has_more)

        with self._offset_kept():
            yield from self._study_pages.records(ask, most)

    def instances(self, study_instance_uid: str) -> list[PacsInstance]:
        """What the service lists at IMAGE level."""
        path = f"/studies/{self._in_path(study_instance_uid)}/instances"
        parameters = [("includefield", tag) for tag in _MORE_OF_INSTANCES]

        def ask(limit: int, offset: int) -> Page[PacsInstance]:
            with self._page(path, parameters, limit, offset) as response:
                rows = Rows([]) if response.status_code == 404 else self._rows(response)
            found = [instance for row in rows.items if (instance := instance_of(row)) is not None]
            self._warn_of_nameless(len(rows.items) - len(found))
            return Page({one.sop_instance_uid: one for one in found}, len(rows.items), rows.has_more)

        with self._offset_kept():
            return list(self._instance_pages.records(ask, MOST_INSTANCES))

    def retrieve(
        self, study_instance_uid: str, folder: Path, wanted: Sequence[PacsInstance] | None = None
    ) -> Iterator[Path]:
        """By WADO-RS, a study in one request, or each instance in one. What is of another study is not
        taken.
        """
        study = f"/studies/{self._in_path(study_instance_uid)}"
        paths = [study]
        if wanted is not None:
            paths = [
                f"{study}/series/{self._in_path(one.series_instance_uid)}"
                f"/instances/{self._in_path(one.sop_instance_uid)}"
                for one in wanted
            ]
        for path in paths:
            self._spend(1)
            for number, file in enumerate(self._files(path, study_instance_uid, folder)):
                if number:
                    self._spend(1)
                yield file

    def store(self, files: Sequence[Path]) -> list[StoreOutcome]:
        """By STOW-RS, each file in a request of its own."""
        return [self._stored(file) for file in files]

    def changes(self, since: int) -> Iterator[tuple[int, str]]:
        """`medsiglip.ingest.pacs.changes.changes` of this connection."""
        return change_list.changes(self._connection, since, self._spend)

    def close(self) -> None:
        """Close the HTTP connection."""
        self._exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, path: str, accept: str, parameters: Sequence[tuple[str, str]] = ()) -> Asked:
        return Asked(f"{self._root}{path}", accept, parameters=parameters)

    def _in_path(self, uid: str) -> str:
        usable = usable_uid(uid)
        if usable is None:
            raise PacsError(
                "pacs-failed", f"{self._connection.name} cannot be asked for a UID that is none: check it."
            )
        return quote(usable, safe="")

    @contextmanager
    def _page(
        self, path: str, parameters: list[tuple[str, str]], limit: int, offset: int
    ) -> Iterator[httpx.Response]:
        self._spend(1)
        paged = [*parameters, ("limit", str(limit)), ("offset", str(offset))]
        with self._exchange.answer(self._asked(path, _JSON, paged)) as response:
            yield response

    def _rows(self, response: httpx.Response) -> Rows:
        items = self._exchange.read_json(response)
        if items is None:
            return Rows([])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self._exchange.bad_answer("it is no list in DICOM JSON")
        # RFC 7234, 5.5: 299 is what PS3.18 gives where results are left out.
        return Rows(items, response.headers.get("Warning", "").startswith("299"))

    @contextmanager
    def _offset_kept(self) -> Iterator[None]:
        try:
            yield
        except OffsetIgnoredError:
            raise self._exchange.bad_answer(
                "it begins again where it should go on, so that not all can be asked for: ask for a shorter "
                "period"
            ) from None

    def _warn_of_nameless(self, count: int) -> None:
        if count:
            _LOG.warning("%s lists %d items without a usable UID.", self._connection.name, count)

    def _files(self, path: str, study: str, folder: Path) -> Iterator[Path]:
        with self._exchange.answer(self._asked(path, AS_STORED)) as response:
            if response.status_code in _NOTHING:
                return
            if response.status_code == 406:
                raise self._exchange.bad_answer("it gives no instances as they are stored (HTTP 406)")
            if not response.is_success:
                raise self._exchange.failed(response.status_code)
            kind, options = parse_options_header(response.headers.get("Content-Type", ""))
            try:
                if kind == b"application/dicom":
                    files = self._single(response, folder)
                elif kind == b"multipart/related" and 0 < len(options.get(b"boundary", b"")) <= 200:
                    files = self._parts(response, options[b"boundary"], folder)
                else:
                    raise self._exchange.bad_answer("it holds no instances, perhaps a page to sign in on")
                yield from self._of_study(files, study)
            except UnreadablePartsError as error:
                raise self._exchange.bad_answer(str(error)) from None

    def _parts(self, response: httpx.Response, boundary: bytes, folder: Path) -> Iterator[Path]:
        parts = RelatedParts(boundary, folder)
        try:
            for piece in self._exchange.pieces(response):
                yield from parts.feed(piece)
        finally:
            parts.close()
        if not parts.has_ended:
            raise UnreadablePartsError("it ends before its last part does")

    def _single(self, response: httpx.Response, folder: Path) -> Iterator[Path]:
        """One instance without parts, which is complete only where HTTP says how long it is."""
        if not {"content-length", "transfer-encoding"} & {name.lower() for name in response.headers}:
            raise UnreadablePartsError("nobody can say whether it is complete")
        part = InstancePart(folder)
        try:
            for piece in self._exchange.pieces(response):
                part.write(piece)
            file = part.end()
        finally:
            part.discard()
        if file is not None:
            yield file

    def _of_study(self, files: Iterator[Path], study: str) -> Iterator[Path]:
        taken = others = 0
        for file in files:
            if _is_of(file, study):
                taken += 1
                yield file
            else:
                others += 1
                file.unlink()
        if others and not taken:
            raise self._exchange.bad_answer("it holds instances of other studies alone")

    def _stored(self, file: Path) -> StoreOutcome:
        sop = sop_instance_uid_of(file)
        if sop is None:
            return StoreOutcome(file, "", CANNOT_UNDERSTAND)
        self._spend(1)
        try:
            body = InstanceBody(file)
            asked = Asked(f"{self._root}/studies", _JSON, "POST", headers=body.headers, content=body.pieces)
            with self._exchange.answer(asked) as response:
                read = partial(self._exchange.lenient_json, response)
                return outcome_of(file, sop, response.status_code, read)
        except OSError:  # of the file: those of the network have become errors of the PACS
            return StoreOutcome(file, sop, PROCESSING_FAILURE)


def _is_of(file: Path, study: str) -> bool:
    """Whether a file is of a study, as far as its header can be read: what cannot be read is looked at by
    whoever brings it in.
    """
    elements = elements_of(file)
    said = elements.get("StudyInstanceUID") if elements is not None else None
    return said is None or usable_uid(str(said)) in (None, usable_uid(study))
