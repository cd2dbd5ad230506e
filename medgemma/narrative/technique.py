"""What a study consists of, in words: its modality, part of the body, views and number of pictures.

Only what is known from headers and from the pictures' numbers is said, never contrast or a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

from medsiglip.medgemma.narrative.nouns import joined
from medsiglip.medgemma.narrative.pictures import side_in_words, view_in_words
from medsiglip.medgemma.narrative.report_kinds import ReportKind, title_of
from medsiglip.medgemma.records import Evidence, EvidenceSeries

_RADIOGRAPHS = frozenset(["CR", "DX", "RG"])
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def technique(evidence: Evidence, kind: ReportKind) -> str:
    """One sentence, such as `Chest radiograph, posteroanterior and lateral views.`"""
    series = main_series(evidence)
    parts = [title_of(evidence, kind, _side(series)), *([_pictures(series, kind)] if series else [])]
    return f"{', '.join(parts)}."


def sampling(evidence: Evidence, kind: ReportKind) -> str | None:
    """A sentence on the pictures without a score, None where each has one."""
    series = main_series(evidence)
    total = sum(_pictures_of(one) for one in series)
    scored = sum(one.images for one in series)
    if scored >= total:
        return None
    verb = "is" if scored == 1 else "are"
    return f"Of {count(total, kind.unit)}, {number(scored)} {verb} scored."


def main_series(evidence: Evidence) -> list[EvidenceSeries]:
    """The series of the modality that the study is scored as; CR and DX are one kind of radiograph."""
    modality = evidence.modality
    same = _RADIOGRAPHS if modality in _RADIOGRAPHS else frozenset([modality])
    return [one for one in evidence.series if one.modality in same and one.images]


def count(amount: int, unit: str) -> str:
    """An amount with its unit: `one slice`, `two slices`, `300 slices`."""
    return f"{number(amount)} {unit if amount == 1 else f'{unit}s'}"


def number(amount: int) -> str:
    """A number as a word up to ten, else in digits."""
    return _NUMBERS[amount] if 0 <= amount < len(_NUMBERS) else str(amount)


def _pictures(series: Sequence[EvidenceSeries], kind: ReportKind) -> str:
    total = sum(_pictures_of(one) for one in series)
    if kind.unit == "slice":
        return _slices(series, total)
    if kind.unit == "view":
        return _views(series, total)
    return count(total, kind.unit)


def _slices(series: Sequence[EvidenceSeries], total: int) -> str:
    planes = [one.orientation or "" for one in series]
    known = list(dict.fromkeys(planes)) if all(planes) else []
    plane = f"{known[0]} " if len(known) == 1 else ""
    if len(series) == 1:
        return count(total, f"{plane}slice")
    named = f" ({joined(known)})" if len(known) > 1 else ""
    return f"{number(len(series))} {plane}series{named} with {count(total, 'slice')} in all"


def _side(series: Sequence[EvidenceSeries]) -> str:
    """The side of which all series are, "" where they differ or it is not known."""
    sides = {side_in_words(one) for one in series}
    return sides.pop() if len(sides) == 1 else ""


def _views(series: Sequence[EvidenceSeries], total: int) -> str:
    found = [view_in_words(one) for one in series]
    views = [view for view in dict.fromkeys(found) if view]
    if not views:
        return count(total, "image")
    named = f"{joined(views)} view{'s' if len(views) > 1 else ''}"
    return named if len(views) == total else f"{count(total, 'image')} ({named})"


def _pictures_of(series: EvidenceSeries) -> int:
    """A series of a volume has an instance for each slice, of which a part may be scored; another may have
    several pictures in an instance.
    """
    return max(series.images, series.instances)
