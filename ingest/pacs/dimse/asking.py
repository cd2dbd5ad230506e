"""Questions by C-FIND at Study Root (PS3.4, C.6.2), and their answers as records."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import MutableSequence

from pydicom import Dataset
from pynetdicom.association import Association

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.dimse.association import Conversation
from medsiglip.ingest.pacs.dimse.contexts import STUDY_ROOT_FIND
from medsiglip.ingest.pacs.dimse.statuses import CANCELLED, PENDING, SUCCESS, failure
from medsiglip.ingest.pacs.records import PacsInstance, PacsQuery, PacsStudy
from medsiglip.ingest.pacs.shown_text import shown_text

UNICODE = "ISO_IR 192"
_UID = re.compile(r"[0-9.]{1,64}")
_DRAINED_SECONDS = 30.0
STUDY_KEYS = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientSex", "StudyDate", "StudyTime"),
    *("AccessionNumber", "StudyDescription", "ModalitiesInStudy", "StudyInstanceUID"),
    *("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"),
)
SERIES_KEYS = ("SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances")
INSTANCE_KEYS = ("SOPInstanceUID", "SOPClassUID", "AvailableTransferSyntaxUID")
MATCHED_KEYS = {
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "AccessionNumber": "accession_number",
    "StudyInstanceUID": "study_instance_uid",
    "ModalitiesInStudy": "modality",
    "StudyDescription": "study_description",
}
"""The attributes by which studies are asked for, besides StudyDate as a range, with the field of a query."""


def study_question(query: PacsQuery, character_set: str | None = UNICODE) -> Dataset:
    """The identifier of a question at STUDY level: what is not asked for is returned (PS3.4, C.2.2.1.2)."""
    given: dict[str, str | None] = {keyword: getattr(query, name) for keyword, name in MATCHED_KEYS.items()}
    if query.from_date is not None or query.to_date is not None:
        is_a_day = query.from_date == query.to_date
        given["StudyDate"] = query.from_date if is_a_day else f"{query.from_date or ''}-{query.to_date or ''}"
    asked = {keyword: value for keyword, value in given.items() if value is not None}
    return _question("STUDY", {**dict.fromkeys(STUDY_KEYS, ""), **asked}, character_set)


def series_question(study_instance_uid: str) -> Dataset:
    """The series of a study, with what they hold."""
    keys = dict.fromkeys(SERIES_KEYS, "")
    return _question("SERIES", {"StudyInstanceUID": study_instance_uid, **keys}, None)


def instance_question(study_instance_uid: str, series_instance_uid: str) -> Dataset:
    """The instances of a series, with class and transfer syntax."""
    unique = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series_instance_uid}
    keys = dict.fromkeys(INSTANCE_KEYS, "")
    return _question("IMAGE", {**unique, **keys}, None)


def classes_question(study_instance_uid: str) -> Dataset:
    """Which SOP classes a study holds, which a PACS may say instead of the class of each instance."""
    return _question("STUDY", {"StudyInstanceUID": study_instance_uid, "SOPClassesInStudy": ""}, None)


def retrieval_identifier(
    study_instance_uid: str, series_instance_uid: str | None = None, instances: tuple[str, ...] = ()
) -> Dataset:
    """What C-GET and C-MOVE are asked for (PS3.4, C.4.2.1.4): a study, a series, or instances of a series."""
    values: dict[str, str | list[str]] = {"StudyInstanceUID": study_instance_uid}
    if series_instance_uid is not None:
        values["SeriesInstanceUID"] = series_instance_uid
    if instances:
        values["SOPInstanceUID"] = list(instances)
    return _question("IMAGE" if instances else "SERIES" if series_instance_uid else "STUDY", values, None)


def _question(
    level: str, values: dict[str, str] | dict[str, str | list[str]], characters: str | None
) -> Dataset:
    question = Dataset()
    question.QueryRetrieveLevel = level
    if characters is not None:
        question.SpecificCharacterSet = characters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of values such as wildcards, and quotes them
        for keyword, value in values.items():
            setattr(question, keyword, value)
    return question


def find(
    conversation: Conversation, name: str, question: Dataset, limit: int, seconds: float
) -> list[Dataset]:
    """The first `limit` answers; whatever more comes is stopped by C-CANCEL. Raises `PacsError`.

    They are taken to the last before one is given on: the same association then serves what is asked because
    of them, and a PACS is not kept waiting in the middle of an answer.
    """
    if not conversation.accepts(STUDY_ROOT_FIND):
        raise PacsError(
            "pacs-refused", f"{name} does not let this AE title query: allow C-FIND for it there."
        )
    found: list[Dataset] = []
    with conversation.operation(seconds), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as they quote the answers
        status = _take(conversation, question, limit, found, seconds)
        if status is None:
            raise conversation.lost()
    if status not in (SUCCESS, CANCELLED) and len(found) < limit:
        raise failure(name, status)
    return found


def _take(
    conversation: Conversation, question: Dataset, limit: int, found: list[Dataset], seconds: float
) -> int | None:
    association: Association = conversation.association
    message_id = conversation.next_message_id()
    cancelled_at: float | None = None
    for answered, answer in association.send_c_find(question, STUDY_ROOT_FIND, msg_id=message_id):
        status = _status(answered)
        if status is None or status not in PENDING:
            return status
        if len(found) < limit:
            if answer is not None:
                found.append(answer)
        elif cancelled_at is None:
            association.send_c_cancel(message_id, query_model=STUDY_ROOT_FIND)
            cancelled_at = time.monotonic()
        elif time.monotonic() - cancelled_at > min(seconds, _DRAINED_SECONDS):
            # It goes on: the association has had its use.
            conversation.abort()
            return CANCELLED
    return None


def _status(answered: Dataset) -> int | None:
    status = answered.get("Status")
    return int(status) if status is not None else None


def as_study(answer: Dataset) -> PacsStudy | None:
    """A study of an answer, None where it has no UID by which it could be asked for."""
    uid = uid_of(answer, "StudyInstanceUID")
    if not uid:
        return None
    return PacsStudy(
        study_instance_uid=uid,
        patient_id=text_of(answer, "PatientID"),
        issuer_of_patient_id=text_of(answer, "IssuerOfPatientID"),
        patient_name=text_of(answer, "PatientName"),
        patient_sex=text_of(answer, "PatientSex"),
        study_date=text_of(answer, "StudyDate"),
        study_time=text_of(answer, "StudyTime"),
        accession_number=text_of(answer, "AccessionNumber"),
        study_description=text_of(answer, "StudyDescription"),
        modalities=tuple(one for one in text_of(answer, "ModalitiesInStudy").split("\\") if one),
        series=number_of(answer, "NumberOfStudyRelatedSeries"),
        instances=number_of(answer, "NumberOfStudyRelatedInstances"),
    )


def as_instance(answer: Dataset, series_instance_uid: str) -> PacsInstance | None:
    """An instance of an answer, None where it has no UID."""
    sop = uid_of(answer, "SOPInstanceUID")
    if not sop:
        return None
    return PacsInstance(
        series_instance_uid=series_instance_uid,
        sop_instance_uid=sop,
        sop_class_uid=uid_of(answer, "SOPClassUID"),
        transfer_syntax_uid=uid_of(answer, "AvailableTransferSyntaxUID"),
    )


def is_of(answer: Dataset, study_instance_uid: str) -> bool:
    """Whether an answer is of a study, or does not say of which."""
    return uid_of(answer, "StudyInstanceUID") in ("", study_instance_uid)


def uid_of(answer: Dataset, keyword: str) -> str:
    """A UID of an answer, "" where there is none or it cannot be one (PS3.5, section 9)."""
    text = text_of(answer, keyword)
    return text if _UID.fullmatch(text) else ""


def number_of(answer: Dataset, keyword: str) -> int | None:
    """A count of an answer, None where there is none or it cannot be one."""
    text = text_of(answer, keyword)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def text_of(answer: Dataset, keyword: str) -> str:
    """A text by the character set of the answer, several values separated by backslashes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = answer.get(keyword)
            values = value if isinstance(value, MutableSequence) else [value]
            text = "\\".join("" if one is None else str(one) for one in values)
    except Exception:  # pydicom converts on access, and may raise anything
        return ""
    return shown_text(text)
