"""Filters with thousands of alternatives choose what a plain loop over the same cases chooses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, select
from sqlalchemy.engine import make_url

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue import filters
from medsiglip.index.catalogue.schema import images
from medsiglip.index.label_records import LabelRecord
from tests.index.conftest import Catalogue
from tests.index.index_cases import count_images, make_bundle, sqlite_only, unit_vectors

COUNT = 48
MANY = 2000
TEXTS = (
    None,
    "",
    "a|b",
    "back\\slash",
    'say "x"',
    "O'Neill",
    "100%",
    "under_score",
    "größer",
    "né e",
    "zwei",
)
CODES = (None, "", "CT", "Mr", "dx", "PT ANDRE")
DATES = (None, "2019-12-31", "2020-01-01", "2020-02-29", "2021-07-04", "1999-06-15")
GRADES: tuple[Any, ...] = (None, True, False, 1.0, 0.0, 0.1 + 0.2, "true", "poor", "0.5", 'say "it\\\'s"')
REPORTS = (
    "",
    "Large pleural effusion on the left.",
    "No effusion: pleural space is clear.",
    "side_left is marked",
    "sideXleft",
)
NUMBERS = (None, 1 / 3, 0.1 + 0.2, 60.0, 7.5, 2.0**-40, 89.99999999999999)


def case(number: int) -> dict[str, Any]:
    """What is known of a study, by the field that asks for it."""
    draw = random.Random(number)
    return {
        "study_description": draw.choice(TEXTS),
        "modality": draw.choice(CODES),
        "patient_age": draw.choice(NUMBERS),
        "frame": draw.choice((1, 2, 3, 4)),
        "study_date": draw.choice(DATES),
        "quality.grade": draw.choice(GRADES),
        "label:nodule": draw.choice(NUMBERS),
        "report": draw.choice(REPORTS),
    }


CASES = {number: case(number) for number in range(1, COUNT + 1)}


@pytest.fixture(scope="module")
def index(
    tmp_path_factory: pytest.TempPathFactory, make_catalogue: Callable[[], Catalogue]
) -> Iterator[CaseIndex]:
    home: Path = tmp_path_factory.mktemp("alternatives") / "home"
    bundles = [
        make_bundle(
            number,
            1,
            study_fields={name: one[name] for name in ("study_description", "patient_age", "study_date")},
            series_fields={"modality": one["modality"]},
            image_fields={"frame": one["frame"], "quality": {"grade": one["quality.grade"]}},
        )
        for number, one in CASES.items()
    ]
    with make_catalogue().open_migrated(home) as opened:
        opened.add(bundles, unit_vectors(count_images(bundles)))
        given = {number: one["label:nodule"] for number, one in CASES.items()}
        opened.labels.put(
            [
                LabelRecord("nodule", value, "study_instance_uid", f"2.25.{number}")
                for number, value in given.items()
                if value is not None
            ]
        )
        opened.report_texts.put({f"2.25.{number}": one["report"] for number, one in CASES.items()}, "import")
        yield opened


def is_text(value: str | None, asked: str) -> bool:
    return (value or "") == asked


def is_code(value: str | None, asked: str) -> bool:
    return (value or "").upper() == asked.upper()


def is_number(value: float | None, asked: str) -> bool:
    return value is None if asked == "" else value == float(asked)


def is_date(value: str | None, asked: str) -> bool:
    return value is None if asked == "" else (value or "").replace("-", "").startswith(asked.replace("-", ""))


def is_quality(value: Any, asked: str) -> bool:
    if asked == "" or value is None:
        return value is None and asked == ""
    if isinstance(value, str):
        return value == asked
    if asked in ("true", "false"):
        return bool(value == (asked == "true"))
    try:
        return not isinstance(value, bool) and bool(value == float(asked))
    except ValueError:
        return False


def says(text: str, asked: str) -> bool:
    kept = "".join(one if one.isalnum() or one == "_" else " " for one in text.casefold())
    return f" {asked.casefold()} " in f" {' '.join(kept.split())} " if asked else not text


def fillers(name: str) -> Iterator[str]:
    """Alternatives that no case has; years, months and days in turns for dates."""
    for number in range(MANY):
        year, month, day = 1100 + number // 36, number // 3 % 12 + 1, number % 28 + 1
        date = (f"{year}", f"{year}-{month:02}", f"{year}{month:02}{day:02}")[number % 3]
        plain = {"study_date": date, "study_description": f"other {number}", "modality": f"M{number}"}
        words = {"report": f"no such words {number}", "quality.grade": f"{number}.25"}
        yield (plain | words).get(name, f"{number + 1000}.5")


ASKED: dict[str, tuple[Callable[[Any, str], bool], list[str]]] = {
    "study_description": (is_text, ["a|b", "back\\slash", 'say "x"', "100%", "größer", "under_score"]),
    "modality": (is_code, ["ct", "MR", "pt andre"]),
    "patient_age": (is_number, ["60", "0.30000000000000004", repr(1 / 3), repr(2.0**-40)]),
    "frame": (is_number, ["2", "3.0", "1e30", "1.5"]),
    "study_date": (is_date, ["2020", "2019-12", "20200229", "2020-01-01", "1999-06-15"]),
    "quality.grade": (is_quality, ["true", "0", "0.30000000000000004", "poor", 'say "it\\\'s"']),
    "label:nodule": (is_number, ["7.5", "0.30000000000000004", "89.99999999999999"]),
    "report": (says, ["pleural effusion", "side_left"]),
}


def expression(name: str, operator: str, asked: list[str]) -> str:
    values = [*asked, *fillers(name)][:MANY]
    random.Random(0).shuffle(values)
    return f"{name}{operator}{'|'.join(value.replace('|', chr(92) + '|') for value in values)}"


@pytest.mark.parametrize("empty", [False, True], ids=["given", "or-empty"])
@pytest.mark.parametrize("name", ASKED)
def test_thousands_of_alternatives_are_answered(index: CaseIndex, name: str, empty: bool) -> None:
    holds, asked = ASKED[name]
    asked = [*asked, ""] if empty else asked
    wanted = {number for number, one in CASES.items() if any(holds(one[name], value) for value in asked)}
    assert 0 < len(wanted) < COUNT

    for operator, numbers in (("=", wanted), ("!=", CASES.keys() - wanted)):
        table = index.table("image", [expression(name, operator, asked)])
        assert set(table.study_instance_uids) == {f"2.25.{number}" for number in numbers}


def test_several_of_them_at_once(index: CaseIndex) -> None:
    names = ("modality", "study_date", "report")
    wanted = set(CASES)
    for name in names:
        holds, asked = ASKED[name]
        wanted -= {number for number in wanted if any(holds(CASES[number][name], one) for one in asked)}
    found = index.table("image", [expression(name, "!=", ASKED[name][1]) for name in names])
    assert set(found.study_instance_uids) == {f"2.25.{number}" for number in wanted}
    assert wanted


@pytest.mark.parametrize("url", ["sqlite://", "postgresql://"])
@pytest.mark.parametrize("name", ASKED)
def test_the_statement_does_not_grow_with_them(url: str, name: str) -> None:
    dialect = make_url(url).get_dialect()()
    sizes = set()
    for count in (2, MANY, 10_000):
        values = [f"{1000 + i % 8000}" if name == "study_date" else f"{i}.5" for i in range(count)]
        compiled = filters.parse(f"{name}={'|'.join(values)}").condition.compile(dialect=dialect)
        sizes.add((len(str(compiled)), len(compiled.params)))
    assert len(sizes) == 1


INDEXED = {
    "study_instance_uid=2.25.1|2.25.2": "sqlite_autoindex_studies_1 (study_instance_uid=?)",
    "study_date=2020|2019-12-31": "ix_studies_study_date (study_date>? AND study_date<?)",
    "image_id=1|2": "images USING INTEGER PRIMARY KEY (rowid=?)",
    "sop_instance_uid=2.25.1.0.0|x": "(sop_instance_uid=?)",
    "series_instance_uid=2.25.1.0|x": "ix_series_series_instance_uid (series_instance_uid=?)",
    "patient_key=patient-1|x": "(patient_key=?)",
}


@sqlite_only
@pytest.mark.parametrize("text", INDEXED)
def test_indexes_are_used(index: CaseIndex, text: str) -> None:
    engine = create_engine(f"sqlite:///{index.home / 'catalog.db'}")
    sent: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *given: sent.append((given[2], given[3])))
    chosen = filters.parse(text)
    with engine.connect() as connection:
        connection.execute(
            select(images.c.id).select_from(filters.joined([chosen])).where(chosen.condition)
        ).all()
        statement, parameters = sent[0]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    engine.dispose()
    assert any(INDEXED[text] in row[3] for row in plan), plan
