"""`DimseClient`: a PACS asked, fetched from and sent to by DIMSE (PS3.4, annexes A, B and C; PS3.7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from pydicom import Dataset

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.client import Spend, no_limit
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.dimse.asking import (
    as_instance,
    as_study,
    classes_question,
    find,
    instance_question,
    is_of,
    series_question,
    study_question,
    text_of,
    uid_of,
)
from medsiglip.ingest.pacs.dimse.association import Conversation, open_association, quieten
from medsiglip.ingest.pacs.dimse.contexts import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    likely_classes,
    packed,
    question_contexts,
)
from medsiglip.ingest.pacs.dimse.getting import Getting
from medsiglip.ingest.pacs.dimse.moving import move
from medsiglip.ingest.pacs.dimse.portions import Portion, by_series, some_instances, whole_study
from medsiglip.ingest.pacs.dimse.sending import Sending
from medsiglip.ingest.pacs.dimse.statuses import SUCCESS, failure
from medsiglip.ingest.pacs.records import EchoAnswer, PacsInstance, PacsQuery, PacsStudy, StoreOutcome

_MOST_SERIES, _MOST_INSTANCES = 20_000, 200_000
_T = TypeVar("_T")


class DimseClient:
    """A conversation with a PACS by DIMSE; see `PacsClient`.

    One association for questions is kept, and one each for fetching and for sending where those happen. With
    `retrieve=move` the instances go to the receiver of this home: `retrieves_elsewhere` is then true,
    `retrieve` gives no files and returns when the PACS says that it has sent them.
    """

    def __init__(self, connection: Connection, spend: Spend = no_limit) -> None:
        quieten()
        self._connection = connection
        self._spend = spend
        self._asking: Conversation | None = None
        self._getting = Getting(connection)
        self._sending = Sending(connection, spend)
        # Of the study that was asked for last: what it holds, and the modality of each series.
        self._last: tuple[str, list[PacsInstance]] = ("", [])
        self._modalities: dict[str, str] = {}

    @property
    def retrieves_elsewhere(self) -> bool:
        """Whether instances come to the receiver of this home, not to the folder of `retrieve`."""
        return self._connection.retrieve == "move"

    def echo(self) -> EchoAnswer:
        """A C-ECHO on an association that may also ask for studies; what the PACS says of itself is its
        Implementation Version Name.
        """
        begun = time.monotonic()
        self._spend(1)

        def ask(conversation: Conversation) -> str:
            if not conversation.accepts(STUDY_ROOT_FIND):
                raise PacsError(
                    "pacs-refused",
                    f"{self._connection.name} does not let this AE title query: allow C-FIND for it there.",
                )
            if conversation.accepts(VERIFICATION):
                with conversation.operation(self._connection.timeout_seconds):
                    answered = conversation.association.send_c_echo(conversation.next_message_id())
                    if answered.get("Status") is None:
                        raise conversation.lost()
                if int(answered.Status) != SUCCESS:
                    raise failure(self._connection.name, int(answered.Status))
            return conversation.association.acceptor.implementation_version_name or ""

        version = self._ask(ask)
        about = "".join(one for one in version if one.isprintable()).strip()
        return EchoAnswer(time.monotonic() - begun, about or "DIMSE")

    def studies(self, query: PacsQuery) -> Iterator[PacsStudy]:
        """The studies that match; see `PacsClient`. All are taken before the first is given."""
        seen: set[str] = set()
        for answer in self._studies(query):
            study = as_study(answer)
            if study is None or study.study_instance_uid in seen:
                continue
            if query.study_instance_uid not in (None, study.study_instance_uid):
                continue
            # Matching by ModalitiesInStudy is optional (PS3.4, table C.6-5).
            wanted = query.modality
            if (
                wanted
                and study.modalities
                and not set("*?\\") & set(wanted)
                and wanted not in study.modalities
            ):
                continue
            seen.add(study.study_instance_uid)
            yield study

    def instances(self, study_instance_uid: str) -> list[PacsInstance]:
        """What the PACS holds of a study at IMAGE level, series by series (PS3.4, C.4.1.3.1)."""
        found: dict[str, PacsInstance] = {}
        self._modalities = {}
        for answer in self._find(series_question(study_instance_uid), _MOST_SERIES):
            series = uid_of(answer, "SeriesInstanceUID")
            if series and is_of(answer, study_instance_uid) and series not in self._modalities:
                self._modalities[series] = text_of(answer, "Modality")
                question = instance_question(study_instance_uid, series)
                for one in self._find(question, _MOST_INSTANCES):
                    held = as_instance(one, series)
                    if held is not None and is_of(one, study_instance_uid):
                        found.setdefault(held.sop_instance_uid, held)
        held_instances = self._with_classes(study_instance_uid, list(found.values()))
        self._last = (study_instance_uid, held_instances)
        return list(held_instances)

    def retrieve(
        self, study_instance_uid: str, folder: Path, wanted: Sequence[PacsInstance] | None = None
    ) -> Iterator[Path]:
        """Fetch a study or instances of it; see `PacsClient` and `retrieves_elsewhere`."""
        if wanted is None and self._last[0] != study_instance_uid:
            self.instances(study_instance_uid)
        held = self._last[1] if self._last[0] == study_instance_uid else []
        asked = held if wanted is None else list(wanted)
        if wanted is None:
            self._last = ("", [])  # the study may have grown when it is asked for again
        if self.retrieves_elsewhere:
            for portion in _to_move(asked, held, whole=wanted is None):
                self._spend(portion.count)
                self._ask(partial(move, self._connection, study_instance_uid, portion))
            return
        known = [one for one in asked if one.sop_class_uid]
        is_whole = wanted is None and len(known) == len(asked)
        portions = whole_study(known) if is_whole else some_instances(known, held)
        yield from self._getting.fetch_all(study_instance_uid, portions, known, folder, self._spend)
        yield from self._of_unknown_class(
            study_instance_uid, [one for one in asked if not one.sop_class_uid], folder
        )

    def store(self, files: Sequence[Path]) -> list[StoreOutcome]:
        """Send instances; see `PacsClient`."""
        return self._sending.send(files)

    def close(self) -> None:
        """Release the associations."""
        self._getting.close()
        self._sending.close()
        if self._asking is not None:
            self._asking.release()
            self._asking = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _studies(self, query: PacsQuery) -> list[Dataset]:
        try:
            return self._find(study_question(query), query.limit)
        except PacsError as error:
            # Archives exist that do not know Unicode; a question in ASCII needs no character set.
            if error.code != "pacs-failed" or not all(value.isascii() for value in _texts(query)):
                raise
        return self._find(study_question(query, None), query.limit)

    def _find(self, question: Dataset, limit: int) -> list[Dataset]:
        self._spend(1)
        name, seconds = self._connection.name, self._connection.timeout_seconds
        return self._ask(lambda kept: find(kept, name, question, limit, seconds))

    def _with_classes(self, study_instance_uid: str, found: list[PacsInstance]) -> list[PacsInstance]:
        """Instances with their class where the PACS says it of the study, if that has one only."""
        if all(one.sop_class_uid for one in found):
            return found
        answers = self._find(classes_question(study_instance_uid), 1)
        said = [text_of(answer, "SOPClassesInStudy").split("\\") for answer in answers]
        if len(said) != 1 or len(said[0]) != 1 or not said[0][0]:
            return found
        return [replace(one, sop_class_uid=one.sop_class_uid or said[0][0]) for one in found]

    def _of_unknown_class(
        self, study_instance_uid: str, wanted: list[PacsInstance], folder: Path
    ) -> Iterator[Path]:
        """Instances whose class the PACS does not say: as many as come by the classes that are likely for the
        modality, then by all others.
        """
        for series, some in by_series(wanted).items():
            left = len(some)
            for classes in packed(likely_classes(self._modalities.get(series, ""))):
                if left <= 0:
                    break
                portion = Portion(left, series, sop_classes=classes)
                self._spend(portion.count)
                for file in self._getting.fetch(study_instance_uid, portion, folder):
                    left -= 1
                    yield file

    def _ask(self, ask: Callable[[Conversation], _T]) -> _T:
        """Ask on the kept association; once more on a new one where that has been lost meanwhile."""
        is_kept = self._asking is not None and self._asking.is_open
        try:
            return ask(self._conversation())
        except PacsError as error:
            if not is_kept or error.code != "pacs-unreachable":
                raise
        return ask(self._conversation())

    def _conversation(self) -> Conversation:
        if self._asking is None or not self._asking.is_open:
            services = [VERIFICATION, STUDY_ROOT_FIND]
            if self.retrieves_elsewhere:
                services.append(STUDY_ROOT_MOVE)
            self._asking = open_association(self._connection, question_contexts(*services))
        return self._asking


def _to_move(asked: list[PacsInstance], held: list[PacsInstance], *, whole: bool) -> list[Portion]:
    """Requests of C-MOVE, which needs no contexts for what it moves."""
    if whole:
        return [Portion(len(asked))] if asked else []
    return some_instances([replace(one, sop_class_uid="") for one in asked], held)


def _texts(query: PacsQuery) -> list[str]:
    given = (
        *(query.patient_id, query.patient_name, query.accession_number),
        *(query.modality, query.study_description),
    )
    return [value for value in given if value is not None]
