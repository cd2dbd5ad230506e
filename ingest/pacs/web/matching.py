"""What studies must be, as QIDO-RS writes it (PS3.18, 8.3.4.1), and whether a study is so.

Orthanc 1.10 as Debian builds it compares what is asked for without undoing its percent-encoding, so that
`Doe%5EJane` finds nobody. `widened` asks for more, in characters that need no encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from medsiglip.ingest.pacs.records import PacsQuery, PacsStudy

Parameters = Sequence[tuple[str, str]]
# Of what a query may hold as it is (RFC 3986, 3.4), that which no service takes for something else.
_AS_IT_IS = "*?:"
LONGEST_VALUE = 1024


def matching(query: PacsQuery) -> list[tuple[str, str]]:
    """The attributes of a question with what they must be; dates as a range."""
    given = {
        "PatientID": query.patient_id,
        "PatientName": query.patient_name,
        "AccessionNumber": query.accession_number,
        "StudyInstanceUID": query.study_instance_uid,
        "ModalitiesInStudy": query.modality,
        "StudyDescription": query.study_description,
    }
    if query.from_date is not None or query.to_date is not None:
        is_a_day = query.from_date == query.to_date
        given["StudyDate"] = query.from_date if is_a_day else f"{query.from_date or ''}-{query.to_date or ''}"
    return [(keyword, value[:LONGEST_VALUE]) for keyword, value in given.items() if value]


def encoded(parameters: Iterable[tuple[str, str]]) -> str:
    """The query of an address, with no more encoded than must be."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe=_AS_IT_IS)}" for name, value in parameters)


def needs_encoding(value: str) -> bool:
    """Whether a value cannot be asked for as it is."""
    return quote(value, safe=_AS_IT_IS) != value


def widened(parameters: Parameters) -> list[tuple[str, str]]:
    """The same question or a wider one, in which `*` stands for what needs encoding."""
    return [(name, _wide(value) if needs_encoding(value) else value) for name, value in parameters]


def _wide(value: str) -> str:
    written = "".join("*" if needs_encoding(character) else character for character in value)
    words = written.split("*")
    return "*".join([words[0], *filter(None, words[1:-1]), words[-1]])


def fits(study: PacsStudy, query: PacsQuery) -> bool:
    """Whether a study is what a question asks for in texts that may have been widened."""
    name = study.patient_name
    pairs = [
        (query.patient_id, [study.patient_id]),
        (query.patient_name, [name, *name.split("=")]),
        (query.accession_number, [study.accession_number]),
        (query.study_description, [study.study_description]),
    ]
    return all(not asked or any(_is_like(text, asked) for text in texts) for asked, texts in pairs)


def _is_like(text: str, pattern: str) -> bool:
    """Wild card matching (PS3.4, C.2.2.2.4), whatever the case: `*` for any text, `?` for one character."""
    text, pattern = text.casefold(), pattern[:LONGEST_VALUE].casefold()
    at = place = 0
    star, resumed = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, resumed = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            place, at = place + 1, at + 1
        elif star >= 0:
            resumed += 1
            place, at = star + 1, resumed
        else:
            return False
    return not pattern[place:].strip("*")
