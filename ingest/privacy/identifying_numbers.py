"""Numbers in free text that may identify a person: of telephones, records and insurances, and dates of birth.

Numbers of techniques are told from them by their form: 1.25, 5/1, 512x512, 120 kV, 0-100, 0 50 400 800.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise, permutations

from medsiglip.ingest.privacy.deidentify import parse_date
from medsiglip.ingest.privacy.spelling import romanised, words_of

# A number of so many digits that is no date is a telephone, record or insurance number; so is one in groups
# of so many digits in all (the shortest telephone numbers in use have seven with their prefix).
LONG_NUMBER, LONG_GROUPS = 6, 7
# Identifiers count from so many digits on within other numbers, and from so many characters on in all.
MIN_DIGITS, MIN_CODE = 4, 5
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-"))
# Whatever is no letter may separate the digits of a number.
_SEPARATED = re.compile(r"(?<=\d)[\W_]+(?=\d)")
_GROUPS = re.compile(r"\d(?:[\W_]*\d)*")
_NUMBER = re.compile(r"\d+(?:[./:,*-]\d+)*")
_LONG_RUN = re.compile(r"\d{6,}")
_DATE_RUNS = ("%d%m%Y", "%m%d%Y", "%d%m%y", "%m%d%y", "%y%m%d")
# At most six digits, as in 1000.25: 555.1234 is a telephone number.
_MEASURE = re.compile(r"(?=.{3,7}$)(?:0|[1-9]\d{0,3})[.,]\d{1,4}")
_TIME = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?")
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
# Between the parts of a date: ". ", "年", " de ", "nd of ".
_WIDEST_GAP = 8
# Years before the first of Reiwa, Heisei, Shōwa, Taishō (and the Republic of China) and Meiji, and what the
# Buddhist calendar is ahead.
_ERAS, _BUDDHIST = (2018, 1988, 1925, 1911, 1867), 543
# Years that dates in texts and of births have: others belong to numbers, or to other calendars.
_YEARS = range(1850, 2101)
_TIMING_STEP = 100
Form = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The identifying numbers of a header.

    `digits` count within other digits, `short` ones as a whole, `codes` of digits and letters with nothing
    between; `born` are the dates of birth, `days` dates that are no secret. `born_in_our_calendar` says that
    no date of birth is that of another calendar, whose other writings are not known.
    """

    digits: tuple[str, ...]
    short: frozenset[str]
    codes: tuple[str, ...]
    born: tuple[date, ...]
    days: frozenset[date]
    born_in_our_calendar: bool


def numbers_of(identifiers: Iterable[str], days: Iterable[str] = ()) -> Numbers:
    """The numbers of identifiers (IDs, telephone numbers, a date of birth) as they may be written elsewhere:
    without leading zeros, and without what separates digits and letters.
    """
    given = [one for text in identifiers for one in plain(text).split("\\")]
    digits = {run for one in given for run in re.findall(r"\d+", _SEPARATED.sub("", one))}
    digits |= {run.lstrip("0") for run in digits}
    codes = {"".join(words_of(romanised(one))).lstrip("0") for one in given}
    born = {day for one in given if (day := parse_date(one)) is not None}
    in_our_calendar = bool(born) and all(day.year in _YEARS for day in born)
    born |= {day for one in born if (day := _before(one, _BUDDHIST)) is not None}
    written = {day.strftime(way) for day in born for way in _DATE_RUNS}
    known = {day for text in days if (day := parse_date(text)) is not None}
    return Numbers(
        tuple(sorted(run for run in digits | written if len(run) >= MIN_DIGITS)),
        frozenset(run for run in digits if len(run) == MIN_DIGITS - 1),
        tuple(sorted(code for code in codes if len(code) >= MIN_CODE and not code.isalpha())),
        tuple(sorted(born)),
        frozenset(known),
        in_our_calendar,
    )


def _before(day: date, years: int) -> date | None:
    """The day so many years earlier if it lies outside `_YEARS` and that does not; 29 February may fail."""
    if day.year in _YEARS or day.year - years not in _YEARS:
        return None
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return None


def plain(text: str) -> str:
    """A text with ASCII digits and hyphens, in one case."""
    normal = unicodedata.normalize("NFKC", text).casefold().translate(_DASHES)
    if normal.isascii():
        return normal
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in normal)


def may_identify(text: str, numbers: Numbers) -> bool:
    """Whether a text holds one of the numbers in any usual writing, or one that looks like anybody's.

    Dates other than that of birth are kept where that is known in our calendar, else only `days` are.
    """
    written = plain(text)
    joined = _SEPARATED.sub("", written)
    if any(run in joined for run in numbers.digits):
        return True
    if numbers.codes:
        compact = "".join(words_of(romanised(written)))
        if any(code in compact for code in numbers.codes):
            return True
    if numbers.short and any(_whole(match[0]) in numbers.short for match in _GROUPS.finditer(written)):
        return True
    if any(not _is_harmless_run(run, numbers) for run in _LONG_RUN.findall(written)):
        return True
    if any(_is_long(match[0], numbers) for match in _GROUPS.finditer(written)):
        return True
    return _names_birth(written, numbers.born)


def _whole(groups: str) -> str:
    """The digits of a number that is no measure, without leading zeros."""
    return "" if _MEASURE.fullmatch(groups) else re.sub(r"\D", "", groups).lstrip("0")


def _is_harmless_run(run: str, numbers: Numbers) -> bool:
    day = parse_date(run)
    return day is not None and _is_open(day, numbers)


def _is_open(day: date, numbers: Numbers) -> bool:
    return day in numbers.days or (numbers.born_in_our_calendar and day.year in _YEARS)


def _is_long(groups: str, numbers: Numbers) -> bool:
    """Whether groups of digits, such as `06 18 34 56 78`, are one long number and no measures or dates."""
    row: list[str] = []
    for token in [*_tokens(groups), "0.0"]:
        verdict = _judged(token, numbers)
        if verdict == "long":
            return True
        if verdict == "part":
            row.append(token)
            continue
        size = sum(char.isdigit() for part in row for char in part)
        if len(row) > 1 and size >= LONG_GROUPS and not _is_list(row, numbers):
            return True
        row = []
    return False


def _tokens(groups: str) -> Iterator[str]:
    """Numbers, and what dots, slashes, colons, hyphens and asterisks join; commas only as decimal points."""
    for token in _NUMBER.findall(groups):
        yield from (token,) if _MEASURE.fullmatch(token) else token.split(",")


def _judged(token: str, numbers: Numbers) -> str:
    """`measure`, `long`, or `part` for what may be a part of a longer number."""
    if token.isdigit():
        return "measure" if len(token) >= LONG_NUMBER and _is_harmless_run(token, numbers) else "part"
    parts = re.findall(r"\d+", token)
    if _MEASURE.fullmatch(token) or _TIME.fullmatch(token):
        return "measure"
    days = list(_dates(token, parts))
    if days:
        return "measure" if any(_is_open(day, numbers) for day in days) else "long"
    size = sum(map(len, parts))
    short = all(len(part) <= 4 and (part == "0" or part[0] != "0") for part in parts)
    if short and len(parts) <= 3 and _is_of_technique(re.sub(r"\d", "", token), [*map(int, parts)], size):
        return "measure"
    if size >= LONG_NUMBER:
        return "long"
    return "measure" if short else "part"


def _is_of_technique(separators: str, values: Sequence[int], size: int) -> bool:
    """Whether two or three numbers of `size` digits in all are a series of echoes (5/1), times of repetition
    and echo (5000/100), a matrix (512*512*300) or a range (0-100, 2019-2020).
    """
    kinds, falls = set(separators), all(value < values[0] for value in values[1:])
    if kinds == {"/"}:
        is_timing = falls and values[0] % _TIMING_STEP == 0
        return size < LONG_GROUPS or is_timing or _are_years(values)
    if kinds == {"*"}:
        return size < LONG_GROUPS or len(set(values)) < len(values)
    return separators == "-" and (max(values) < 1000 or _are_years(values))


def _are_years(values: Sequence[int]) -> bool:
    return all(value in _YEARS for value in values) and list(values) == sorted(values)


def _is_list(row: Sequence[str], numbers: Numbers) -> bool:
    """Whether numbers are round and rise, as b values, angles and times do (0 50 400 800), or are years or a
    date.
    """
    values = [int(token) for token in row if token.isdigit() and str(int(token)) == token]
    if len(values) == len(row):
        rising = all(first < second for first, second in pairwise(values))
        if (rising and all(value % 10 == 0 for value in values)) or _are_years(values):
            return True
    return any(_is_open(day, numbers) for day in _dates(".".join(row), row))


def _dates(token: str, parts: Sequence[str]) -> Iterator[date]:
    """The dates that three numbers with one separator may mean: 2019-03-04, 4.3.2019, 04/03/19, 4/3/2562."""
    sizes = [len(part) for part in parts]
    separators = re.sub(r"\d", "", token)
    if len(parts) != 3 or len(separators) != 2 or len(set(separators)) != 1 or token[-1] == separators[0]:
        return
    for year, *rest in (parts, (parts[2], *parts[:2])):
        if len(year) == 4 or sizes == [2, 2, 2]:
            century = int(year) if len(year) == 4 else 2000 + int(year)
            century -= _BUDDHIST if century not in _YEARS and century - _BUDDHIST in _YEARS else 0
            for month, day in permutations(map(int, rest)):
                try:
                    yield date(century, month, day)
                except ValueError:
                    continue


def _names_birth(text: str, born: Sequence[date]) -> bool:
    """Whether three numbers, or two and a word between or before them, are a date of birth in any order and
    in any language (2.1.1970, 1970年1月2日, 02-JAN-1970, 2 de enero de 1970, January 2, 1970).
    """
    if not born:
        return False
    # Words of one or two letters (st, de, 年) only separate.
    tokens = [match for match in _TOKEN.finditer(text) if match[0].isdigit() or len(match[0]) > 2]
    values: list[int | None] = [int(one[0][:5]) if one[0].isdigit() else None for one in tokens]
    near = [b.start() - a.end() <= _WIDEST_GAP for a, b in pairwise(tokens)]
    forms = {form for day in born for form in _forms(day)}
    for i in range(len(tokens) - 1):
        if near[i] and tuple(values[i : i + 2]) in forms:
            return True
        if i + 2 < len(tokens) and near[i] and near[i + 1] and tuple(values[i : i + 3]) in forms:
            return True
    return False


def _forms(born: date) -> Iterator[Form]:
    """Day, month and year in all orders; a month as a word is None, and left out if it is as short as IV."""
    day, month = born.day, born.month
    years = {born.year, born.year % 100, born.year + _BUDDHIST, (born.year + _BUDDHIST) % 100}
    years |= {born.year - era for era in _ERAS if born.year > era}
    for year in years:
        yield from ((day, month, year), (month, day, year), (year, month, day), (year, day, month))
        yield from ((day, None, year), (None, day, year), (year, None, day))
    yield day, born.year
