"""Invented identities: names, birthdays and unique identifiers, each derived from what it belongs to."""

from __future__ import annotations

import datetime
import hashlib

__all__ = ["age_on", "birth_date", "derive_uid", "person_name"]

_FAMILY_NAMES = """
Abara Adler Almeida Ashdown Bakker Baranov Beaumont Castell Chaudry Dahl Danso Delacroix Ekdahl Farkas Fenwick
Garrido Haddad Halloran Ivarsen Jansky Kaplan Kimura Kowal Lindqvist Lowell Marchetti Mbeki Moreau Nakagawa
Novak Okafor Oyelaran Petrov Quintero Rahman Rasmussen Salazar Sandoval Takeda Tremblay Ueda Valtonen Vaughan
Wexler Whitlock Xanthos Yamada Zielinski
"""
_GIVEN_NAMES = {
    "F": """
Ada Amina Beatriz Clara Dagny Edith Farah Greta Hana Ines Joana Keiko Leila Mina Nora Oluchi Petra Rosa
Sofia Tova Uma Vera Wanda Yara Zofia
""",
    "M": """
Abel Bram Cedric Dario Emil Farid Goran Hugo Ivo Jonas Kofi Lars Marek Nils Omar Pavel Quentin Rafael
Sven Tomas Umar Viktor Walid Yusuf Zeno
""",
}


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def derive_uid(*parts: str | int) -> str:
    """Return the UID that belongs to `parts`, under the root for UUIDs (DICOM PS3.5, B.2)."""
    return f"2.25.{_digest('/'.join(str(part) for part in parts))}"


def person_name(patient_id: str, sex: str) -> str:
    """Return an invented PatientName, family and given name, for a patient of `sex` "F" or "M"."""
    number = _digest(f"name/{patient_id}")
    families, given = _FAMILY_NAMES.split(), _GIVEN_NAMES[sex].split()
    return f"{families[number % len(families)]}^{given[number // 1000 % len(given)]}"


def birth_date(patient_id: str, age: int, on: str) -> str:
    """Return the birth date, YYYYMMDD, of a patient who is `age` years old on the date `on`, YYYYMMDD.

    Month and day belong to the patient, so all studies whose age came from `age_on` give the same date.
    """
    month, day = _birthday(patient_id)
    had_birthday = (int(on[4:6]), int(on[6:8])) >= (month, day)
    return f"{int(on[:4]) - age - (0 if had_birthday else 1):04d}{month:02d}{day:02d}"


def age_on(patient_id: str, birth_year: int, on: datetime.date) -> int:
    """Return the whole years of a patient born in `birth_year` on the date `on`."""
    month, day = _birthday(patient_id)
    return on.year - birth_year - (0 if (on.month, on.day) >= (month, day) else 1)


def _birthday(patient_id: str) -> tuple[int, int]:
    number = _digest(f"birthday/{patient_id}")
    return number % 12 + 1, number // 12 % 28 + 1
