"""Pseudonyms: what identifies a person is turned into keyed hashes here and goes no further."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Literal

from ingest.errors import IngestError

# How much of a person's data an ingest keeps.
Phi = Literal["pseudonymous", "keep", "strict"]
KEY_BYTES = 32
PATIENT_KEY_HEX = 32
# Words of identifiers that count: whole ones from MIN_WORD characters on, within others from MIN_WITHIN on.
MIN_WORD = 3
MIN_WITHIN = 4
_WORD = re.compile(r"\w+")
_SEPARATED = re.compile(r"(?<=\d)[\s./:-]+(?=\d)")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """The key of one home; its bytes appear in no representation."""

    secret: bytes = field(repr=False)

    @classmethod
    def open(cls, home: Path) -> SecretKey:
        """Read `home/secret.key`, or create it with mode 0600, atomically: two processes agree on one key.

        Raises `IngestError`: `secret-key-invalid`, `secret-key-unreadable`.
        """
        path = home / "secret.key"
        try:
            if not path.exists():
                _create(path)
            secret = path.read_bytes()
        except OSError as error:
            raise IngestError(
                "secret-key-unreadable",
                f"{path} cannot be read or created ({error.strerror}); check its owner and permissions.",
            ) from None
        if len(secret) != KEY_BYTES:
            raise IngestError(
                "secret-key-invalid",
                f"{path} does not hold {KEY_BYTES} bytes; restore it from the backup of this home.",
            )
        return cls(secret)

    @property
    def fingerprint(self) -> str:
        """16 hex characters that tell keys apart and reveal nothing of them."""
        return self._digest("fingerprint", "")[:16]

    def patient_key(self, issuer: str, patient_id: str) -> str:
        """32 hex characters for one patient: HMAC-SHA256 of issuer and PatientID."""
        return self._digest("patient", f"{issuer.strip()}\0{patient_id.strip()}")[:PATIENT_KEY_HEX]

    def patient_key_of_study(self, study_instance_uid: str) -> str:
        """The key of a patient known by nothing but one study."""
        return self._digest("study-patient", study_instance_uid)[:PATIENT_KEY_HEX]

    def derived_uid(self, *parts: str) -> str:
        """A UID that is the same for the same parts under this key (PS3.5 B.2: 2.25 and a 128-bit
        integer).
        """
        return f"2.25.{int(self._digest('uid', chr(0).join(parts))[:32], 16)}"

    def _digest(self, purpose: str, message: str) -> str:
        return hmac.new(self.secret, f"{purpose}\0{message}".encode(), hashlib.sha256).hexdigest()


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, never replaces a key that another process just made
        except FileExistsError:
            pass
        except OSError:
            if not path.exists():  # a file system without hard links
                os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def content_uid(digest_hex: str) -> str:
    """A UID derived from a content hash of at least 128 bits (PS3.5 B.2)."""
    return f"2.25.{int(digest_hex[:32], 16)}"


def without_identifiers(
    description: str, identifiers: Iterable[str], names: Iterable[str] = ()
) -> str | None:
    """A free-text description, or None if it holds part of an identifier (an ID, a date of birth) or of the
    patient's `names` (PS3.5 PN).

    Series and study descriptions name protocols; the few that name people are dropped whole, for what
    surrounds a name may identify as well. Family, given and middle names count at any length, other words
    from three characters on; from four on, and outside ASCII, also within a word.
    """
    names = list(names)
    parts = {part for name in names for part in _name_parts(name)}
    for text in (*identifiers, *names):
        parts.update(word for word in _words(text) if len(word) >= MIN_WORD)
    text = _folded(description)
    if parts & set(_words(description)):
        return None
    if any(part in text for part in parts if len(part) >= MIN_WITHIN or not part.isascii()):
        return None
    digits = {run for identifier in identifiers for run in _digit_runs(identifier)}
    found = _SEPARATED.sub("", text)
    return None if any(run in found for run in digits) else description.strip() or None


def _name_parts(name: str) -> set[str]:
    """The words of family, given and middle name, and what they make when written together.

    Prefix and suffix are left out: MR and MD are modalities and words of protocols.
    """
    parts = set()
    for group in re.split(r"[=\\]", name):
        words = [word for component in group.split("^")[:3] for word in _words(component)]
        parts |= {*words, *map("".join, permutations(words, 2))}
        parts.add("".join(words))
    return parts - {""}


def _digit_runs(identifier: str) -> set[str]:
    runs = {run for run in re.findall(r"\d+", _SEPARATED.sub("", identifier)) if len(run) >= MIN_WITHIN}
    day = parse_date(identifier)
    return runs | ({day.strftime("%d%m%Y"), day.strftime("%m%d%Y")} if day else set())


def _words(text: str) -> list[str]:
    return _WORD.findall(_folded(text))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("_", " ")


def age_in_years(patient_age: str, birth_date: str, study_date: str) -> float | None:
    """Age at study from Patient's Age (PS3.5 AS: nnnD, nnnW, nnnM, nnnY), else from the two dates; None if
    unknown.
    """
    match = re.fullmatch(r"\s*(\d{1,3})([DWMY])\s*", patient_age.upper())
    if match:
        years = int(match[1]) / {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}[match[2]]
        return round(years, 2)
    born, studied = parse_date(birth_date), parse_date(study_date)
    if born is None or studied is None or studied < born:
        return None
    had_birthday = (studied.month, studied.day) >= (born.month, born.day)
    return float(studied.year - born.year - (not had_birthday))


def parse_date(text: str) -> date | None:
    """A DICOM date (PS3.5 DA: YYYYMMDD, or the retired YYYY.MM.DD), or None."""
    digits = text.strip().replace(".", "").replace("-", "")
    if not re.fullmatch(r"\d{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
