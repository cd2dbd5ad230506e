"""The exchange with PACS: connections and their state, what a PACS holds, what comes in and goes back."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from pydantic import ConfigDict, Field

from medsiglip.answers.answer import Answer, ErrorDetail, Moment
from medsiglip.answers.cases import FilesState

PacsKind = Literal["dicomweb", "dimse"]
PacsState = Literal["never", "ok", "failing"]
Presence = Literal["no", "part", "all"]
LedgerStatus = Literal["waiting", "here", "incomplete", "failed", "forgotten"]
DeliveryStatus = Literal["waiting", "sent", "failed"]
DeliveryFormat = Literal["sr", "pdf"]


class PacsFields(TypedDict, total=False):
    """What the studies that a PACS is asked for must be: `*` and `?` stand for characters in all but dates
    (YYYY-MM-DD, both included) and UIDs.
    """

    patient_id: str | None
    patient_name: str | None
    accession_number: str | None
    study_instance_uid: str | None
    modality: str | None
    study_description: str | None
    from_date: str | None
    to_date: str | None


class LedgerCounts(Answer):
    """How many studies of a PACS are asked for and waited for, here, here in part, or failed."""

    waiting: int = 0
    here: int = 0
    incomplete: int = 0
    failed: int = 0


class DeliveryCounts(Answer):
    """How many documents wait to be sent to a PACS, were sent, or failed."""

    waiting: int = 0
    sent: int = 0
    failed: int = 0


class PacsConnection(Answer):
    """A PACS under a name, and its state.

    `state` is that of its last use: `never` used, `ok`, or `failing` with the `failure`. `options` say how
    it is reached, without secrets; over HTTP they are shown to `admin` alone.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "main",
                "kind": "dicomweb",
                "state": "ok",
                "last_seen_at": "2026-03-01T08:00:00+00:00",
                "failed_at": None,
                "failure": None,
                "studies": {"waiting": 2, "here": 40, "incomplete": 0, "failed": 0},
                "deliveries": {"waiting": 0, "sent": 3, "failed": 0},
                "syncing": False,
                "options": None,
            }
        }
    )

    name: str
    kind: PacsKind
    state: PacsState
    last_seen_at: Moment | None
    failed_at: Moment | None
    failure: ErrorDetail | None
    studies: LedgerCounts
    deliveries: DeliveryCounts
    syncing: bool = Field(description="a sync of this connection is at work")
    options: dict[str, Any] | None = None


class ReceiverState(Answer):
    """The receiver of this home, to which a PACS sends by C-STORE, as it last wrote of itself."""

    running: bool
    ae_title: str
    port: int
    associations: int = Field(description="open now")
    waiting_studies: int = Field(description="received, and not yet handed to the ingest")
    received: int = Field(description="instances since it began")
    failed: int = Field(description="instances since it began")
    last_received_at: Moment | None


class PacsList(Answer):
    """The connections by name, and the receiver, null where none ever ran on the home."""

    connections: tuple[PacsConnection, ...]
    receiver: ReceiverState | None = None


class PacsEcho(Answer):
    """A PACS that answered, after so many seconds, and what it said of itself."""

    seconds: float
    about: str


class FoundStudy(Answer):
    """A study that a PACS holds.

    `patient_name`, `patient_id` and `accession_number` are there only where the home keeps what names a
    person, `patient_key` is the pseudonym that the study's patient has here. `study_instance_uid` is the
    PACS's, null where the home hides it. `series` and `instances` are as many as the PACS says, null where
    it does not; `here` says whether the home holds the study, and `images` how many images of it.
    """

    study_instance_uid: str | None
    patient_key: str | None
    patient_name: str | None = None
    patient_id: str | None = None
    accession_number: str | None = None
    study_date: str | None = None
    study_description: str | None = None
    modalities: tuple[str, ...] = ()
    series: int | None = None
    instances: int | None = None
    here: Presence
    images: int


class FoundStudies(Answer):
    """The studies of a PACS that match; `truncated` where it holds more than were asked for."""

    studies: tuple[FoundStudy, ...]
    truncated: bool


class IncompleteStudy(Answer):
    """A study of which fewer instances came than the PACS says it holds."""

    study_instance_uid: str
    expected: int | None
    received: int


class FailedStudy(Answer):
    """A study that could not be brought in, and why."""

    study_instance_uid: str
    code: str
    message: str


class PullReport(Answer):
    """What a pull did: of the studies `asked` for, how many are `here` whole, and what became of the others;
    `instances` came, and `ingest` sums up what the ingest did with them, null where nothing came.
    """

    asked: int
    here: int
    incomplete: tuple[IncompleteStudy, ...] = ()
    failed: tuple[FailedStudy, ...] = ()
    instances: int = 0
    ingest: dict[str, Any] | None = None


class SyncReport(PullReport):
    """What a sync did; `found` studies of the PACS were compared with those that are here, and `waiting` ones
    are still to come, as where its hours ended.
    """

    found: int = 0
    waiting: int = 0


class LedgerStudy(Answer):
    """A study of a PACS as this home has asked for it.

    `expected` is how many instances the PACS says it holds, `received` how many of them came. The UID is the
    PACS's while the study waits; once it is here, a strict home knows it by its own.
    """

    study_instance_uid: str
    status: LedgerStatus
    expected: int | None
    received: int
    attempts: int
    not_before: Moment | None = Field(
        description="from when on a pull of what waits, or a sync, asks for it again; null where none does"
    )
    failure: ErrorDetail | None
    found_at: Moment
    changed_at: Moment


class LedgerPage(Answer):
    """Studies of a PACS, the last changed first; `cursor` asks for the next page, and is null at the end."""

    studies: tuple[LedgerStudy, ...]
    cursor: str | None = None


class FetchReport(Answer):
    """The files of a study after a fetch: `here`; so many instances came, 0 where the files were there."""

    study_instance_uid: str
    files: FilesState
    came_from: tuple[str, ...]
    instances: int


class ReleaseReport(Answer):
    """Of how many studies how many files were deleted; `kept` are studies whose files stay, because the PACS
    does not have all of them.
    """

    studies: int
    files: int
    kept: int


class Retried(Answer):
    """How many failed studies wait again."""

    waiting: int


class Delivery(Answer):
    """A document of an accepted draft on its way to a PACS; `sop_instance_uid` is the same at every try."""

    id: str
    to: str
    draft_id: str
    format: DeliveryFormat
    sop_instance_uid: str
    status: DeliveryStatus
    attempts: int
    failure: ErrorDetail | None
    created_at: Moment
    sent_at: Moment | None


class DeliveryReport(Answer):
    """What was sent of an accepted draft of a study, each document as it stands now."""

    study_instance_uid: str
    deliveries: tuple[Delivery, ...]


class DeliveryPage(Answer):
    """Deliveries, the newest first; `cursor` asks for the next page, and is null at the end."""

    deliveries: tuple[Delivery, ...]
    cursor: str | None = None
