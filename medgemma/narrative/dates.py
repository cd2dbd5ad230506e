"""Dates as people write them."""

from __future__ import annotations

import re

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DATE = re.compile(r"(\d{4})-?(0[1-9]|1[0-2])(?:-?(0[1-9]|[12]\d|3[01]))?(?:[T ].*)?")


def written_date(date: str) -> str:
    """`12 May 2024` of an ISO 8601 or DICOM date, `May 2024` of one without a day; others as they are."""
    found = _DATE.fullmatch(date.strip())
    if found is None:
        return date.strip()
    year, month, day = found.groups()
    name = f"{_MONTHS[int(month) - 1]} {year}"
    return f"{int(day)} {name}" if day else name
