"""The studies of a PACS that were asked for: asking for more, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from medsiglip.answers.answer import ErrorDetail
from medsiglip.answers.pacs import LedgerPage, LedgerStatus, LedgerStudy
from medsiglip.api.errors import ServiceError
from medsiglip.names import why_not

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.study_ledger import LedgerStudy as Row
    from medsiglip.index.pacs.study_ledger import StudyNames
    from medsiglip.index.storage.deletion import PacsNames
    from medsiglip.ingest.privacy.deidentify import SecretKey


def names_of(key: SecretKey, study_instance_uid: str) -> StudyNames:
    """What a study is called by its PACS, here, and once it was forgotten."""
    from medsiglip.index.pacs.study_ledger import StudyNames

    own = key.uid(study_instance_uid)
    return StudyNames(study_instance_uid, own, key.forgotten_uid(own))


def names_to_forget(
    archive: OpenedArchive, study_instance_uids: Collection[str], asked: str | None = None
) -> PacsNames | None:
    """What the ledgers keep of studies that are forgotten, by their UIDs in this home, and what they may have
    them by; None in an empty home. A strict home, which cannot tell the UID at the PACS, goes through all
    studies that wait.
    """
    from medsiglip.index.storage.deletion import PacsNames
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    if key is None:
        return None
    others: dict[str, list[str]] = {}
    if key.phi == "strict":
        wanted = set(study_instance_uids)
        for uid in archive.index.forgotten_names.not_here():
            if (own := key.uid(uid)) in wanted:
                others.setdefault(own, []).append(uid)
    return PacsNames(key.forgotten_uid, asked, others)


def ask_for(archive: OpenedArchive, name: str, study_instance_uids: Sequence[str]) -> list[str]:
    """Let studies of a PACS wait to be brought in, also those that were forgotten here or have failed before.
    The UIDs are the PACS's; returns those of the home, each once, by which a `pacs-pull` knows them.

    Raises ServiceError `bad-pacs-question` for what is no UID, which may name a person; CatalogError
    `unknown-pacs`.
    """
    from medsiglip.ingest.privacy.deidentify import bound_key

    archive.index.pacs_connections.get(name)
    if any(why_not("uid", uid) is not None for uid in study_instance_uids):
        raise ServiceError(
            "bad-pacs-question",
            "studies are asked for by their StudyInstanceUIDs, of digits and dots, and one of these is none: "
            "tables on a terminal shorten UIDs, --json gives them whole.",
        )
    key = bound_key(archive.index)
    wanted = [names_of(key, uid) for uid in dict.fromkeys(study_instance_uids)]
    archive.index.pacs_studies.ask(name, wanted)
    return list(dict.fromkeys(one.own for one in wanted))


def announced(archive: OpenedArchive, name: str, study_instance_uid: str) -> list[str]:
    """Let a study wait that its PACS announces, and return its UID as `ask_for` does; nothing of one that was
    forgotten here, for nobody asks for it.

    Raises CatalogError `unknown-pacs`.
    """
    from medsiglip.ingest.privacy.deidentify import bound_key

    archive.index.pacs_connections.get(name)
    names = names_of(bound_key(archive.index), study_instance_uid)
    return [names.own] if archive.index.pacs_studies.announced(name, names) else []


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
    # What a PACS gives as a UID and is none may name a person: a home that hides names has its own for it.
    renames = hides or (key is not None and key.phi == "pseudonymous")
    if hides and cursor is not None:
        raise ServiceError("missing-scope", "pages after the first need the scope admin in a strict home.")
    after = None if cursor is None else read_place(cursor)
    rows = archive.index.pacs_studies.page(name, status=status, after=after, limit=limit + 1)
    shown = tuple(_shown(row, key if renames else None) for row in rows[:limit])
    more = len(rows) > limit and not hides
    return LedgerPage(studies=shown, cursor=rows[limit - 1].place.cursor() if more else None)


def _shown(row: Row, hiding: SecretKey | None) -> LedgerStudy:
    from medsiglip.index.pacs.study_ledger import MOST_ATTEMPTS

    is_tried_again = row.status in ("waiting", "incomplete") and row.attempts < MOST_ATTEMPTS
    is_named = hiding is not None and row.status not in ("here", "forgotten")
    return LedgerStudy(
        study_instance_uid=hiding.uid(row.study_instance_uid)
        if is_named and hiding is not None
        else row.study_instance_uid,
        status=row.status,
        expected=row.expected,
        received=row.received,
        attempts=row.attempts,
        not_before=row.not_before if is_tried_again else None,
        failure=None if row.failure is None else ErrorDetail.model_validate(row.failure),
        found_at=row.found_at,
        changed_at=row.changed_at,
    )
