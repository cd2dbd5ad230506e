"""The studies of a PACS that were asked for: asking for more, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsiglip.answers.answer import ErrorDetail
from medsiglip.answers.pacs import LedgerPage, LedgerStatus, LedgerStudy
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.study_ledger import LedgerStudy as Row
    from medsiglip.index.pacs.study_ledger import StudyNames
    from medsiglip.ingest.privacy.deidentify import SecretKey


def names_of(key: SecretKey, study_instance_uid: str) -> StudyNames:
    """What a study is called by its PACS, here, and once it was forgotten."""
    from medsiglip.index.pacs.study_ledger import StudyNames

    own = key.uid(study_instance_uid)
    return StudyNames(study_instance_uid, own, key.forgotten_uid(own))


def ask_for(archive: OpenedArchive, name: str, study_instance_uids: Sequence[str]) -> list[str]:
    """Let studies of a PACS wait to be brought in, also those that were forgotten here or have failed before.
    The UIDs are the PACS's; returns those of the home, each once, by which a `pacs-pull` knows them.

    Raises CatalogError `unknown-pacs`.
    """
    from medsiglip.ingest.privacy.deidentify import bound_key

    archive.index.pacs_connections.get(name)
    key = bound_key(archive.index)
    wanted = [names_of(key, uid) for uid in dict.fromkeys(study_instance_uids)]
    archive.index.pacs_studies.ask(name, wanted)
    return list(dict.fromkeys(one.own for one in wanted))


def ledger_page(
    archive: OpenedArchive,
    name: str,
    *,
    status: LedgerStatus | None = None,
    cursor: str | None = None,
    limit: int = 100,
    with_uids: bool = True,
) -> LedgerPage:
    """Studies of a PACS that were asked for, the last changed first; without forgotten ones unless they are
    the `status`.

    A strict home answers a study that waits by the PACS's UID only `with_uids`, else by its own; then there
    is no page after the first, since the place where one begins names a UID. Raises CatalogError
    `unknown-pacs`, `bad-cursor`; ServiceError `missing-scope`.
    """
    from medsiglip.index.service.newest_first import read_place
    from medsiglip.ingest.privacy.deidentify import known_key

    archive.index.pacs_connections.get(name)
    key = known_key(archive.index)
    hides = not with_uids and key is not None and key.phi == "strict"
    if hides and cursor is not None:
        raise ServiceError("missing-scope", "pages after the first need the scope admin in a strict home.")
    after = None if cursor is None else read_place(cursor)
    rows = archive.index.pacs_studies.page(name, status=status, after=after, limit=limit + 1)
    shown = tuple(_shown(row, key if hides else None) for row in rows[:limit])
    more = len(rows) > limit and not hides
    return LedgerPage(studies=shown, cursor=rows[limit - 1].place.cursor() if more else None)


def _shown(row: Row, hiding: SecretKey | None) -> LedgerStudy:
    is_named = hiding is not None and row.status not in ("here", "forgotten")
    return LedgerStudy(
        study_instance_uid=hiding.uid(row.study_instance_uid)
        if is_named and hiding is not None
        else row.study_instance_uid,
        status=row.status,
        expected=row.expected,
        received=row.received,
        attempts=row.attempts,
        not_before=row.not_before if row.status in ("waiting", "incomplete") else None,
        failure=None if row.failure is None else ErrorDetail.model_validate(row.failure),
        found_at=row.found_at,
        changed_at=row.changed_at,
    )
