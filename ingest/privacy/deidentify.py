"""Pseudonyms: identifying values become keyed hashes here and go no further.

A home keeps one of three levels of personal data, the same for all its patients:

    pseudonymous   no name, birth date, address, number or text that names a person; patients by keyed hash,
                   UIDs, study dates and paths as they are, age at the study
    strict         also UIDs, paths and times of files by keyed hash, dates shifted by a number of days of
                   each patient's own, ages above 89 as 90, no free text
    keep           as pseudonymous, and name, ID, birth date and accession number, and texts whole
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.privacy.generations import (
    PATIENT_KEY_HEX,
    later_fingerprint,
    later_mark,
    later_patient_key,
)

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex

# How much of a person's data an ingest keeps.
Phi = Literal["pseudonymous", "keep", "strict"]
KEY_FILE = "secret.key"
KEY_BYTES = 32
MAX_SHIFT_DAYS = 3650
# Ages above this are few enough to identify (45 CFR 164.514(b)(2)(i)(C)).
MAX_AGE = 89.0
# Nobody is known to have lived longer than 122 years; what is beyond this is a placeholder such as 999Y.
MAX_PLAUSIBLE_AGE = 130.0
_PATIENT_KEY = re.compile(rf"[0-9a-f]{{{PATIENT_KEY_HEX}}}")
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """The key of one home, and how much the home keeps of a person; its bytes are never in its `repr`.

    `newer` are the secrets that came later (`medsiglip.ingest.privacy.key_rotation`), oldest first: they are
    for patient keys and for marks of what was forgotten. The file holds all of them, one after the other.
    """

    secret: bytes = field(repr=False)
    phi: Phi = "pseudonymous"
    newer: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def open(cls, home: Path) -> SecretKey:
        """Read `home/secret.key`, or create it with mode 0600, atomically: two processes agree on one key.

        Raises `IngestError`: `secret-key-invalid`, `secret-key-unreadable`.
        """
        path = home / KEY_FILE
        try:
            if not path.exists():
                _create(path)
            secret = path.read_bytes()
        except OSError as error:
            raise IngestError(
                "secret-key-unreadable",
                f"{path} cannot be read or created ({error.strerror}); check its owner and permissions.",
            ) from None
        if not secret or len(secret) % KEY_BYTES:
            raise IngestError(
                "secret-key-invalid",
                f"{path} does not hold {KEY_BYTES} bytes, or a multiple of them after the key was rotated; "
                "restore it from the backup of this home.",
            )
        parts = [secret[first : first + KEY_BYTES] for first in range(0, len(secret), KEY_BYTES)]
        return cls(parts[0], newer=tuple(parts[1:]))

    @property
    def fingerprint(self) -> str:
        """16 hex characters that identify a key without revealing it."""
        return later_fingerprint(self._digest("fingerprint", "")[:16], self.newer)

    def followed_by(self, secret: bytes) -> SecretKey:
        """The key after this one."""
        return replace(self, newer=(*self.newer, secret))

    def as_bound(self, fingerprint: str | None) -> SecretKey:
        """The key as it was when it had this fingerprint, for the file may hold a secret that does not count
        yet, or no more in an older catalogue; itself where it never had.
        """
        for count in range(len(self.newer), -1, -1):
            earlier = replace(self, newer=self.newer[:count])
            if earlier.fingerprint == fingerprint:
                return earlier
        return self

    def patient_key(self, issuer: str, patient_id: str) -> str:
        """32 hex characters for one patient: HMAC-SHA256 of issuer and PatientID."""
        return later_patient_key(self._first_patient_key(issuer, patient_id), self.newer)

    def patient_key_of_study(self, study_instance_uid: str) -> str:
        """The key of a patient who is known only by one study."""
        first = self._digest("study-patient", study_instance_uid)[:PATIENT_KEY_HEX]
        return later_patient_key(first, self.newer)

    def _first_patient_key(self, issuer: str, patient_id: str) -> str:
        return self._digest("patient", f"{issuer.strip()}\0{patient_id.strip()}")[:PATIENT_KEY_HEX]

    def site(self, institution_name: str) -> str:
        """A name for an institution that does not name it: of 8 hex characters, whatever the case of letters
        and the number of spaces.
        """
        return f"site-{self._digest('site', ' '.join(institution_name.casefold().split()))[:8]}"

    def derived_uid(self, *parts: str) -> str:
        """A UID that is the same for the same parts under this key (PS3.5 B.2: 2.25 and a 128-bit
        integer).
        """
        return f"2.25.{int(self._digest('uid', chr(0).join(parts))[:32], 16)}"

    def uid(self, uid: str) -> str:
        """A study, series, instance or frame of reference UID as the home keeps it.

        A text that is not a UID (PS3.5 9.1: digits and dots) may hold a name or a number of the patient.
        """
        if not uid or self.phi == "keep":
            return uid
        return self.derived_uid("uid", uid) if self.phi == "strict" or not _UID.fullmatch(uid) else uid

    def forgotten_uid(self, own_uid: str) -> str:
        """What stays of the UID of a study, as the home kept it, when the study was forgotten: enough to know
        the study when it is offered again, and nobody without the key knows it. And of a patient key.
        """
        if _PATIENT_KEY.fullmatch(own_uid):
            return self._mark_of_patient(own_uid, len(self.newer))
        return later_mark(self.derived_uid("forgotten", own_uid), self.newer)

    def forgotten_patient(self, issuer: str, patient_id: str) -> tuple[str, ...]:
        """What may have stayed of a patient who was forgotten, before the key was rotated or since."""
        first = self._first_patient_key(issuer, patient_id)
        return tuple(
            later_mark(
                self._mark_of_patient(later_patient_key(first, self.newer[:count]), count), self.newer[count:]
            )
            for count in range(len(self.newer) + 1)
        )

    def _mark_of_patient(self, patient_key: str, count: int) -> str:
        """The mark of a patient who was forgotten when the key had so many newer secrets."""
        return later_mark(self.derived_uid("forgotten", patient_key), self.newer[:count])

    def day(self, day: date | None, patient_key: str) -> date | None:
        """A date as the home keeps it: all dates of a patient are shifted alike, so intervals stay."""
        if day is None or self.phi != "strict":
            return day
        days = 1 + int(self._digest("date", patient_key)[:16], 16) % MAX_SHIFT_DAYS
        try:
            return day - timedelta(days=days)
        except OverflowError:  # before year 1
            return None

    def time(self, time: str | None) -> str | None:
        """A time of day as the home keeps it; a strict one keeps none."""
        return None if self.phi == "strict" else time

    def age(self, years: float | None) -> float | None:
        """An age in years as the home keeps it."""
        return 90.0 if years is not None and years > MAX_AGE and self.phi == "strict" else years

    def moment(self, mtime_ns: int) -> int:
        """The time of a file as the home keeps it: it only shows whether the file has changed, and is often
        the day of the study.
        """
        return int(self._digest("moment", str(mtime_ns))[:15], 16) if self.phi == "strict" else mtime_ns

    def path(self, path: str) -> str:
        """32 hex characters for a path, where the home keeps none."""
        return self._digest("path", path)[:32]

    def _digest(self, purpose: str, message: str) -> str:
        # A path may hold bytes that are not UTF-8, as surrogates (PEP 383).
        text = f"{purpose}\0{message}".encode("utf-8", "surrogatepass")
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()


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


def known_key(index: CaseIndex) -> SecretKey | None:
    """The key of the home, None if it has none yet; never creates one.

    Raises `CatalogError` `key-mismatch` if the key file is missing or another.
    """
    bound = index.key_fingerprint
    if bound is None:
        return None
    key = SecretKey.open(index.home).as_bound(bound) if (index.home / KEY_FILE).exists() else None
    index.bind_key(key.fingerprint if key else "")
    return _with_phi(index, key) if key else None


def bound_key(index: CaseIndex, phi: Phi | None = None) -> SecretKey:
    """The key of the home, which keeps `phi`; created only if the home has none yet.

    Raises `CatalogError` `key-mismatch` and `phi-mismatch`.
    """
    bound = index.key_fingerprint
    if bound is not None and not (index.home / KEY_FILE).exists():
        index.bind_key("", phi)
    key = SecretKey.open(index.home).as_bound(bound)
    index.bind_key(key.fingerprint, phi)
    return _with_phi(index, key)


def _with_phi(index: CaseIndex, key: SecretKey) -> SecretKey:
    """The key with the `phi` of its home; from here on a strict index hides paths."""
    key = replace(key, phi=cast(Phi, index.phi or "pseudonymous"))
    if key.phi == "strict":
        index.hide_paths(key.path)
    return key


def content_uid(digest_hex: str) -> str:
    """A UID derived from a content hash of at least 128 bits (PS3.5 B.2)."""
    return f"2.25.{int(digest_hex[:32], 16)}"


def age_in_years(patient_age: str, birth_date: str, study_date: str) -> float | None:
    """Age at study from Patient's Age (PS3.5 AS: nnnD, nnnW, nnnM, nnnY), else from the two dates; None if
    unknown, or implausible: negative, or above `MAX_PLAUSIBLE_AGE`.
    """
    match = re.fullmatch(r"\s*([0-9]{1,3})([DWMY])\s*", patient_age.upper())
    if match:
        years = int(match[1]) / {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}[match[2]]
        if years <= MAX_PLAUSIBLE_AGE:
            return round(years, 2)
    born, studied = parse_date(birth_date), parse_date(study_date)
    if born is None or studied is None or studied < born:
        return None
    had_birthday = (studied.month, studied.day) >= (born.month, born.day)
    age = float(studied.year - born.year - (not had_birthday))
    return age if age <= MAX_PLAUSIBLE_AGE else None


def parse_date(text: str) -> date | None:
    """A DICOM date (PS3.5 DA: YYYYMMDD, or the retired YYYY.MM.DD), or None."""
    digits = text.strip().replace(".", "").replace("-", "")
    if not re.fullmatch(r"\d{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def parse_time(text: str) -> str | None:
    """A DICOM time (PS3.5 TM: HHMMSS.FFFFFF, shorter too, or the retired HH:MM:SS) as HH:MM:SS, or None."""
    match = re.fullmatch(r"([0-9]{2}):?([0-9]{2})?:?([0-9]{2})?(\.[0-9]{1,6})?", text.strip())
    if match is None:
        return None
    hours, minutes, seconds = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return f"{hours:02}:{minutes:02}:{seconds:02}"
