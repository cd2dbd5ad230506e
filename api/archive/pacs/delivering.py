"""Accepted drafts go to a PACS: as a structured report, as PDF pages, or both; each is there once.

A document has one SOP Instance UID from its first try on. Before a try the PACS is asked whether it holds
that instance already, as when its answer was lost, and afterwards whether it does now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medsiglip.answers.pacs import Delivery, DeliveryPage, DeliveryReport
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.archive.pacs.connections import connection_of, open_pacs
from medsiglip.api.archive.pacs.documents import (
    document,
    document_uids,
    in_memory_files,
    issuer_of_files,
)
from medsiglip.api.errors import ServiceError, explain

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.deliveries import Consignment, DeliveryRecord
    from medsiglip.ingest.pacs.client import PacsClient
    from medsiglip.ingest.pacs.records import PacsStudy, StoreOutcome
    from medsiglip.medgemma.records import Draft

FORMATS = ("sr", "pdf")
# Seconds before each look whether what was stored is found: some PACS file it a little later.
_LOOKS = (0.0, 0.5, 2.0, 5.0)
_STAGE = "sending"
# Of a patient, to see that an ID is theirs.
_STUDIES_ASKED = 100


@dataclass(frozen=True, slots=True)
class Patience:
    """What a try may wait for. `tries_again` says of an error whether someone tries again by itself; `sleep`
    waits so many seconds; `check` raises where the work must stop.
    """

    tries_again: Callable[[Exception], bool] = lambda error: False
    sleep: Callable[[float], object] = time.sleep
    check: Callable[[], object] = lambda: None


def pacs_send(
    archive: OpenedArchive,
    draft_id: str,
    to: str,
    *,
    formats: Sequence[str] = ("sr",),
    on_progress: OnProgress = silent,
    patience: Patience | None = None,
) -> DeliveryReport:
    """Send an accepted draft to a PACS now, as `sr`, `pdf` or both; what the PACS holds of it is not sent
    again.

    Raises CatalogError `unknown-draft`, `unknown-pacs`; ServiceError `not-accepted`, `report-superseded`,
    `strict-home`, `unknown-format`; PacsError `pacs-unknown-study` where no PACS that is known here holds the
    study, `pacs-other-patient` where the PACS has it of another patient, and what its client raises. What
    could not be sent is kept with the reason.
    """
    patience = patience or Patience()
    draft = _draft(archive, draft_id)
    rows: list[DeliveryRecord] = []
    try:
        consignment = consign(archive, draft, to, formats)
        rows = archive.index.pacs_deliveries.add(consignment)
        _send(archive, draft, rows, on_progress, patience)
    except Exception as error:
        _note_failure(archive, rows or _known(archive, draft, to, formats), error, patience)
        raise
    done = archive.index.pacs_deliveries.of(consignment)
    return DeliveryReport(
        study_instance_uid=draft.study_instance_uid, deliveries=tuple(delivery_of(one) for one in done)
    )


def order_delivery(archive: OpenedArchive, draft_id: str, to: str, formats: Sequence[str]) -> Consignment:
    """The documents of a draft for a PACS, to be sent by a job, which lets them wait. Raises as `pacs_send`
    does before it asks the PACS.
    """
    return consign(archive, _draft(archive, draft_id), to, formats)


def consign(archive: OpenedArchive, draft: Draft, to: str, formats: Sequence[str]) -> Consignment:
    """What would be sent of a draft; nothing is stored. Raises as `pacs_send` does before it asks a PACS."""
    chosen = _formats(formats)
    connection_of(archive, to)
    if draft.status != "accepted":
        raise ServiceError(
            "not-accepted", f"Draft {draft.id} is {draft.status}: only what a person has accepted is sent."
        )
    if archive.index.phi == "strict":
        raise ServiceError(
            "strict-home",
            "This home keeps no UID of a PACS, so no PACS could file its reports: export the report instead.",
        )
    made = _consignment(draft, to, chosen)
    if draft.superseded_by is not None and not archive.index.pacs_deliveries.of(made):
        raise ServiceError(
            "report-superseded",
            f"The report {draft.id} was superseded: send {draft.superseded_by}, which took its place.",
        )
    return made


def automatic(archive: OpenedArchive, draft: Draft) -> list[Consignment]:
    """What is to be sent of a draft that is being accepted, by what its PACS ask for (`send_accepted`)."""
    from medsiglip.ingest.errors import PacsError

    found = []
    for one in archive.index.pacs_connections.listed():
        try:
            formats = connection_of(archive, one.name).send_accepted
        except PacsError:  # options of another version: an acceptance does not depend on them
            continue
        if formats:
            found.append(_consignment(draft, one.name, formats))
    return found


def list_deliveries(
    archive: OpenedArchive,
    *,
    to: str | None = None,
    draft: str | None = None,
    status: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> DeliveryPage:
    """Deliveries, the newest first: of a PACS, of a draft, or all; `cursor` is that of the page before.
    Raises CatalogError `unknown-pacs`, `unknown-draft`, `bad-cursor`.
    """
    from medsiglip.index.service.newest_first import Place, read_place

    if to is not None:
        archive.index.pacs_connections.get(to)
    if draft is not None:
        archive.index.drafts.get(draft)
    after = None if cursor is None else read_place(cursor)
    found = archive.index.pacs_deliveries.listed(
        to=to, draft_id=draft, status=status, after=after, limit=limit + 1
    )
    shown = found[:limit]
    more = None if len(found) == len(shown) else Place(shown[-1].created_at, shown[-1].id).cursor()
    return DeliveryPage(deliveries=tuple(delivery_of(one) for one in shown), cursor=more)


def delivery_of(record: DeliveryRecord) -> Delivery:
    """A row as an answer."""
    return Delivery.model_validate(
        {name: getattr(record, name) for name in _SAME} | {"to": record.connection}
    )


_SAME = tuple(name for name in Delivery.model_fields if name != "to")


def _draft(archive: OpenedArchive, draft_id: str) -> Draft:
    from medsiglip.medgemma.draft_record import draft_of

    return draft_of(archive.index.drafts.get(draft_id))


def _formats(given: Sequence[str]) -> list[str]:
    unknown = [one for one in given if one not in FORMATS]
    if unknown or not given:
        raise ServiceError("unknown-format", "A PACS takes a report as sr, as pdf, or as both: choose these.")
    return list(dict.fromkeys(given))


def _consignment(draft: Draft, to: str, formats: Sequence[str]) -> Consignment:
    from medsiglip.index.pacs.deliveries import Consignment

    return Consignment(to, draft.id, draft.study_instance_uid, document_uids(draft, formats))


def _known(archive: OpenedArchive, draft: Draft, to: str, formats: Sequence[str]) -> list[DeliveryRecord]:
    """The rows that wait already, of what cannot be sent any more."""
    kept = [one for one in formats if one in FORMATS]
    return archive.index.pacs_deliveries.of(_consignment(draft, to, kept))


def _note_failure(
    archive: OpenedArchive, rows: Sequence[DeliveryRecord], error: Exception, patience: Patience
) -> None:
    """Keep with each document that was not sent why it was not. An error of the catalogue is none of it."""
    from medsiglip.index.errors import CatalogError

    found = explain(error)
    if found is None or (isinstance(error, CatalogError) and error.code != "unknown-pacs"):
        return
    failure = {"code": found.code, "message": found.message}
    again = patience.tries_again(error)
    store = archive.index.pacs_deliveries
    for one in store.same(rows):
        if one.status == "waiting":
            store.not_sent(one.id, failure, for_good=not again)


def _send(
    archive: OpenedArchive,
    draft: Draft,
    rows: Sequence[DeliveryRecord],
    on_progress: OnProgress,
    patience: Patience,
) -> None:
    """Bring the PACS to hold each of the documents. Raises PacsError for the first that it does not take."""
    store, to = archive.index.pacs_deliveries, rows[0].connection
    on_progress(_STAGE, 0, len(rows))
    with open_pacs(archive, to) as client:
        missing = _missing(archive, client, draft, rows)
        if missing:
            patient = _patient_of(archive, client, draft, to)
            contents = [
                document(archive, draft, one.format, one.sop_instance_uid, patient) for one in missing
            ]
            patience.check()
            for one in missing:
                store.tried(one.id)
            with in_memory_files(contents) as files:
                outcomes = client.store(files)
            stored = [one for one, outcome in zip(missing, outcomes, strict=True) if outcome.is_stored]
            refused = [outcome for outcome in outcomes if not outcome.is_stored]
            _verify(archive, client, draft, stored, patience)
            if refused:
                raise _refusal(to, refused)
    on_progress(_STAGE, len(rows), len(rows))


def _missing(
    archive: OpenedArchive, client: PacsClient, draft: Draft, rows: Sequence[DeliveryRecord]
) -> list[DeliveryRecord]:
    """Those that the PACS does not hold; the others are noted as sent."""
    if not rows:
        return []
    held = {one.sop_instance_uid for one in client.instances(draft.study_instance_uid)}
    for one in rows:
        if one.sop_instance_uid in held and one.status != "sent":
            archive.index.pacs_deliveries.sent(one.id)
    return [one for one in rows if one.sop_instance_uid not in held]


def _verify(
    archive: OpenedArchive,
    client: PacsClient,
    draft: Draft,
    stored: Sequence[DeliveryRecord],
    patience: Patience,
) -> None:
    """Ask at IMAGE level whether the PACS holds what it said it stored; raises PacsError where not."""
    from medsiglip.ingest.errors import PacsError

    missing = list(stored)
    for seconds in _LOOKS:
        if not missing:
            return
        if seconds:
            patience.sleep(seconds)
        patience.check()
        missing = _missing(archive, client, draft, missing)
    if missing:
        raise PacsError(
            "pacs-not-filed",
            f"The PACS {missing[0].connection} said that it stored the report, and does not list it in its "
            "study: look for it among what it could not file.",
            may_pass=True,
        )


def _patient_of(archive: OpenedArchive, client: PacsClient, draft: Draft, to: str) -> PacsStudy:
    """The patient and the study as the PACS has them, or another that the study came from."""
    from medsiglip.ingest.errors import PacsError

    uid = draft.study_instance_uid
    held = _asked(client, uid)
    found = held or _elsewhere(archive, uid, to)
    if found is None:
        raise PacsError(
            "pacs-unknown-study",
            f"Neither the PACS {to} nor one that the study came from holds study {uid}, so nobody says whose "
            "it is: send the study there first, then send the report again.",
        )
    if not _is_same_patient(archive, found, archive.index.study(uid).study.patient_key):
        raise PacsError(
            "pacs-other-patient",
            f"The PACS {to} has study {uid} of another patient than this home: nothing was sent. Settle "
            "there whose it is, or export the report and file it by hand.",
        )
    if held is None and _is_of_somebody_else(client, found):
        raise PacsError(
            "pacs-other-patient",
            f"The PACS {to} does not hold study {uid}, and has somebody else under the ID that another PACS "
            "gives its patient: nothing was sent. Send the study there first, or file the report by hand.",
        )
    return found


def _elsewhere(archive: OpenedArchive, uid: str, to: str) -> PacsStudy | None:
    """A study as another PACS has it that it came from."""
    from medsiglip.ingest.errors import PacsError

    for name in archive.index.pacs_studies.came_from(uid):
        with suppress(PacsError):  # kept with that connection
            if name != to:
                with open_pacs(archive, name) as other:
                    found = _asked(other, uid)
                if found is not None:
                    return found
    return None


def _is_of_somebody_else(client: PacsClient, patient: PacsStudy) -> bool:
    """Whether a PACS has a patient of another name under the PatientID that a patient has at another PACS:
    an ID is unique in one of them alone (PS3.3 C.7.1.1, Issuer of Patient ID).
    """
    from medsiglip.ingest.pacs.records import PacsQuery

    if not patient.patient_id:
        return False
    asked = client.studies(PacsQuery(patient_id=patient.patient_id, limit=_STUDIES_ASKED))
    theirs = (one for one in asked if one.patient_id == patient.patient_id)
    return any(_letters(one.patient_name) != _letters(patient.patient_name) for one in theirs)


def _letters(name: str) -> str:
    """The letters of the first group of a name, whatever their case and what is between them."""
    return "".join(filter(str.isalnum, name.partition("=")[0])).casefold()


def _asked(client: PacsClient, uid: str) -> PacsStudy | None:
    from medsiglip.ingest.pacs.records import PacsQuery

    found = client.studies(PacsQuery(study_instance_uid=uid, limit=2))
    return next((one for one in found if one.study_instance_uid == uid), None)


def _is_same_patient(archive: OpenedArchive, found: PacsStudy, patient_key: str) -> bool:
    """Whether a study that a PACS describes is of the patient that the home has by this key.

    A patient without an ID is known by the study alone. Some PACS do not tell the issuer of an ID in their
    answers: then it is that of the study's files, where they are there.
    """
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    if key is None or patient_key == key.patient_key_of_study(found.study_instance_uid):
        return True
    if not found.patient_id:
        return False
    if patient_key == key.patient_key(found.issuer_of_patient_id, found.patient_id):
        return True
    issuer = None if found.issuer_of_patient_id else issuer_of_files(archive, found.study_instance_uid)
    return issuer is not None and patient_key == key.patient_key(issuer, found.patient_id)


def _refusal(to: str, refused: Sequence[StoreOutcome]) -> Exception:
    from medsiglip.ingest.errors import PacsError

    status = refused[0].status
    return PacsError(
        "pacs-failed",
        f"The PACS {to} did not store the report (status 0x{status:04X}): its log has the reason, and its "
        "rules say which documents it takes.",
        may_pass=any(one.may_pass for one in refused),
    )
