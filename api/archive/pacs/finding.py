"""Questions to a PACS: which studies it holds, beside what of them is here."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from medsiglip.answers.pacs import FoundStudies, FoundStudy, Presence
from medsiglip.api.archive.pacs.connections import open_pacs
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.connections import HeldStudy
    from medsiglip.ingest.header.header_texts import HeaderTexts
    from medsiglip.ingest.pacs.client import Spend
    from medsiglip.ingest.pacs.records import PacsQuery, PacsStudy
    from medsiglip.ingest.privacy.deidentify import Phi, SecretKey

MOST_FOUND = 1000
"""Studies of one answer."""
DEFAULT_FOUND = 100
LONGEST_SECONDS = 300.0
"""After which no further page of an answer is asked for."""
LONGEST_VALUE = 324
"""The most characters of what is asked for: of a person name with its three component groups (PS3.5, 6.2)."""
FIELDS = (
    "patient_id",
    "patient_name",
    "accession_number",
    "study_instance_uid",
    "modality",
    "study_description",
    "from_date",
    "to_date",
)
"""What a question may say of the studies that are wanted."""
_DATE = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})")
# PS3.5, section 6.2: CS has 16 characters, UI 64.
_LONGEST = {"modality": 16, "study_instance_uid": 64}
# A text that is none may name a person.
_UID = re.compile(r"[0-9.]{1,64}")
# Backslashes separate values, and controls begin other character sets (PS3.5, sections 6.1.2.3 and 6.4).
_NO_VALUE = re.compile(r"[\\\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Found:
    """The studies of an answer, and the UIDs by which the PACS knows them, in the same order."""

    answer: FoundStudies
    study_instance_uids: tuple[str, ...]


def query_of(given: Mapping[str, str | None], limit: int = DEFAULT_FOUND) -> PacsQuery:
    """A question from its `FIELDS`; dates as YYYY-MM-DD or YYYYMMDD. Raises ServiceError
    `bad-pacs-question`, which does not repeat what was asked for.
    """
    from medsiglip.ingest.pacs.records import PacsQuery

    values: dict[str, str] = {}
    for name, value in given.items():
        if name not in FIELDS:
            raise _refused(f"a PACS is not asked for {name[:64]!r}, but for {', '.join(FIELDS)}")
        if value is None or not value.strip():
            continue
        if len(value) > _LONGEST.get(name, LONGEST_VALUE) or _NO_VALUE.search(value):
            raise _refused(f"{name} is too long, or has a backslash or a character that is not seen")
        values[name] = _day(name, value) if name.endswith("_date") else value.strip()
    if not 1 <= limit <= MOST_FOUND:
        raise _refused(f"limit must be from 1 to {MOST_FOUND}")
    return PacsQuery(**values, limit=limit)


def pacs_find(archive: OpenedArchive, name: str, query: PacsQuery, *, with_uids: bool = True) -> FoundStudies:
    """The studies of a PACS that match, as the home may show them.

    Names and numbers of a person are answered only in a home that keeps them. A strict home answers UIDs and
    keys of patients only `with_uids`, and dates to nobody, for they would undo those that it has shifted. A
    home that has ingested nothing yet has no keys of patients. Raises CatalogError `unknown-pacs`; PacsError.
    """
    return find(archive, name, query, with_uids=with_uids).answer


def find(archive: OpenedArchive, name: str, query: PacsQuery, *, with_uids: bool = True) -> Found:
    """As `pacs_find`, with the UIDs of the studies."""
    from medsiglip.ingest.privacy.deidentify import known_key

    with open_pacs(archive, name, _in_time(name)) as client:
        asked = replace(query, limit=query.limit + 1)
        studies = list(islice(client.studies(asked), query.limit + 1))
    is_truncated, studies = len(studies) > query.limit, studies[: query.limit]
    key = known_key(archive.index)
    uids = tuple(one.study_instance_uid for one in studies)
    kept = uids if key is None else tuple(map(key.uid, uids))
    held = archive.index.pacs_connections.held(name, kept)
    shown = [
        _shown(one, key, held.get(uid), with_uids=with_uids) for one, uid in zip(studies, kept, strict=True)
    ]
    return Found(FoundStudies(studies=tuple(shown), truncated=is_truncated), uids)


def _in_time(name: str) -> Spend:
    """Lets a PACS be asked for page after page only for so long: somebody waits for the answer."""
    from medsiglip.ingest.errors import PacsError

    last = time.monotonic() + LONGEST_SECONDS

    def spend(_operations: int) -> None:
        if time.monotonic() > last:
            raise PacsError(
                "pacs-timeout",
                f"The PACS {name} did not give all of its answer within {LONGEST_SECONDS:.0f} seconds: ask "
                "it for less.",
                may_pass=True,
            )

    return spend


def _shown(one: PacsStudy, key: SecretKey | None, held: HeldStudy | None, *, with_uids: bool) -> FoundStudy:
    phi: Phi = "pseudonymous" if key is None else key.phi
    is_told = with_uids or phi != "strict"
    is_uid = phi == "keep" or _UID.fullmatch(one.study_instance_uid) is not None
    texts = _texts(one, phi)
    shown = FoundStudy(
        study_instance_uid=one.study_instance_uid if is_told and is_uid else None,
        patient_key=_patient_key(one, key) if is_told and key is not None else None,
        study_date=None if phi == "strict" else _iso(one.study_date),
        study_description=texts.free("StudyDescription"),
        modalities=tuple(code for text in one.modalities if (code := texts.coded(text)) is not None),
        series=one.series,
        instances=one.instances,
        here=_presence(one, held),
        images=0 if held is None else held.images,
    )
    if phi != "keep":
        return shown
    person = {
        "patient_name": one.patient_name or None,
        "patient_id": one.patient_id or None,
        "accession_number": one.accession_number or None,
    }
    return shown.model_copy(update=person)


def _patient_key(one: PacsStudy, key: SecretKey) -> str:
    """As the ingest makes it of the study's headers."""
    if one.patient_id.strip():
        return key.patient_key(one.issuer_of_patient_id, one.patient_id)
    return key.patient_key_of_study(one.study_instance_uid)


def _texts(one: PacsStudy, phi: Phi) -> HeaderTexts:
    from medsiglip.ingest.header.header_texts import HeaderTexts

    elements = {
        "PatientName": one.patient_name,
        "PatientID": one.patient_id,
        "AccessionNumber": one.accession_number,
        "StudyDate": one.study_date,
        "StudyDescription": one.study_description,
    }
    return HeaderTexts(elements, phi)


def _presence(one: PacsStudy, held: HeldStudy | None) -> Presence:
    if held is None or not (held.instances or held.images or held.received):
        return "no"
    if one.instances is None:
        return "all" if held.received is not None else "part"
    return "all" if max(held.instances, held.received or 0) >= one.instances else "part"


def _iso(text: str) -> str | None:
    from medsiglip.ingest.privacy.deidentify import parse_date

    day = parse_date(text)
    return None if day is None else day.isoformat()


def _day(name: str, value: str) -> str:
    from medsiglip.ingest.privacy.deidentify import parse_date

    match = _DATE.fullmatch(value.strip())
    digits = "" if match is None else "".join(match.groups())
    if parse_date(digits) is None:
        raise _refused(f"{name} is no date such as 2026-03-01")
    return digits


def _refused(problem: str) -> ServiceError:
    return ServiceError("bad-pacs-question", f"the question cannot be asked: {problem}.")


def where_of(expressions: Sequence[str]) -> dict[str, str]:
    """The fields of expressions such as `modality=CT`. Raises ServiceError `bad-pacs-question`."""
    found = {}
    for one in expressions:
        name, sign, value = one.partition("=")
        if not sign or name.strip() not in FIELDS or name.strip() in found:
            raise _refused(f"--where takes FIELD=VALUE, once for each of {', '.join(FIELDS)}")
        found[name.strip()] = value
    return found
