"""A real Milvus server against brute force: what is put, removed, filtered, dropped, and shared by homes."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest

from medsiglip.index.catalogue.filter_expression import read_terms
from medsiglip.index.catalogue.filters import parse
from medsiglip.index.engines.engine import FIELDS, LEVELS, Collection, PushedFilter, VectorRows
from medsiglip.index.engines.milvus.milvus_engine import MilvusEngine
from medsiglip.index.errors import CatalogError
from medsiglip.index.vectors import Ids, Vectors
from tests.index.engines.milvus_server import MilvusServer

DIMENSION, ROWS = 24, 240
_homes = count()
Row = dict[str, int | float | str | None]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    drawn = np.random.default_rng(5).standard_normal((ROWS + 20, DIMENSION))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def row(number: int) -> Row:
    """The fields of an image; every seventh has none that may be absent."""
    rows = {"study": number // 6, "series": number // 3, "patient": number // 12}
    if number % 7 == 0:
        return rows | dict.fromkeys(FIELDS["image"].keys() - rows.keys())
    return rows | {
        "frame": number % 5,
        "rendering": ("voi", "Voi", "ct-rgb-3window")[number % 3],
        "modality": ("CT", "mr", "MR", "", "CTA")[number % 5],
        "body_part_examined": ("CHEST", "chest", "LOWER LEG", "é", "x" * 300)[number % 5],
        "view_position": ("AP", "%", "A_", "L\nR")[number % 4],
        "laterality": "L",
        "manufacturer": "Größe & Söhne",
        "orientation": "axial",
        "patient_sex": "FM"[number % 2],
        "patient_age": (0.5, 60, 61, 70.25)[number % 4],
        "study_date": f"20{number % 20:02}-{number % 12 + 1:02}-{number % 28 + 1:02}",
    }


def rows_of(ids: Ids, vectors: Vectors, level: str = "image") -> VectorRows:
    fields = FIELDS[level]  # type: ignore[index]
    return VectorRows(ids, vectors, {name: [row(int(one))[name] for one in ids] for name in fields})


@pytest.fixture(scope="module")
def engine(milvus_server: MilvusServer) -> Iterator[MilvusEngine]:
    opened = MilvusEngine(milvus_server.url, f"home{next(_homes)}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def filled(engine: MilvusEngine, vectors: Vectors) -> tuple[MilvusEngine, Collection]:
    """An engine with rows 1 to 240 at all levels."""
    for level in LEVELS:
        ids = np.arange(1, ROWS + 1)
        engine.put(Collection(1, level, DIMENSION), rows_of(ids, vectors[:ROWS], level))
    engine.flush()
    return engine, Collection(1, "image", DIMENSION)


def test_the_nearest_are_those_of_brute_force(
    filled: tuple[MilvusEngine, Collection], vectors: Vectors
) -> None:
    engine, collection = filled
    queries = vectors[ROWS:]
    found = engine.nearest(collection, queries, 15)
    products = queries @ vectors[:ROWS].T
    best = np.argsort(-products, axis=1)[:, :15]
    assert [ids.tolist() for ids in found.ids] == (best + 1).tolist()
    for scores, theirs, expected in zip(found.scores, best, products, strict=True):
        np.testing.assert_allclose(scores, expected[theirs], atol=1e-6)
    assert [engine.count(Collection(1, level, DIMENSION)) for level in LEVELS] == [ROWS] * 3


def test_what_is_held_is_what_was_put_to_the_last_bit(
    filled: tuple[MilvusEngine, Collection], vectors: Vectors
) -> None:
    engine, collection = filled
    after, portions = 0, []
    while len((held := engine.held(collection, after, 100)).ids):
        portions.append(held)
        after = int(held.ids[-1])
    assert [len(portion.ids) for portion in portions] == [100, 100, 40]
    np.testing.assert_array_equal(np.concatenate([one.ids for one in portions]), np.arange(1, ROWS + 1))
    np.testing.assert_array_equal(np.concatenate([one.vectors for one in portions]), vectors[:ROWS])


def code(value: object) -> str:
    return str(value or "").upper()


def age(compare: Callable[[float, float], bool], limit: float) -> Callable[[Row], bool]:
    return lambda row: row["patient_age"] is not None and compare(float(row["patient_age"]), limit)


def day(row: Row) -> str:
    return str(row["study_date"] or "")


UNCLEAR = ("é", "x" * 300)
EXPRESSIONS: dict[str, Callable[[Row], bool]] = {
    "modality=ct": lambda row: code(row["modality"]) == "CT",
    "modality=CT|MR": lambda row: code(row["modality"]) in ("CT", "MR"),
    "modality!=CT": lambda row: code(row["modality"]) != "CT",
    "not modality=CT|": lambda row: code(row["modality"]) not in ("CT", ""),
    "modality=": lambda row: not row["modality"],
    "modality^=c": lambda row: code(row["modality"]).startswith("C"),
    "not modality^=CT": lambda row: not code(row["modality"]).startswith("CT"),
    "body_part_examined=chest": lambda row: (
        code(row["body_part_examined"]) == "CHEST" or row["body_part_examined"] in UNCLEAR
    ),
    "not body_part_examined=chest": lambda row: code(row["body_part_examined"]) != "CHEST",
    "view_position=%": lambda row: row["view_position"] == "%",
    "view_position=A_": lambda row: row["view_position"] == "A_",
    "rendering=voi": lambda row: row["rendering"] == "voi",
    "rendering!=voi": lambda row: row["rendering"] != "voi",
    "patient_age<60": age(operator.lt, 60),
    "patient_age<=60": age(operator.le, 60),
    "patient_age>60.5": age(operator.gt, 60.5),
    "not patient_age>=60": lambda row: not age(operator.ge, 60)(row),
    "patient_age=60..61|.5": lambda row: row["patient_age"] in (0.5, 60, 61),
    "patient_age=60..<61": lambda row: row["patient_age"] == 60,
    "patient_age=": lambda row: row["patient_age"] is None,
    "patient_age!=60": lambda row: row["patient_age"] != 60,
    "frame=1|2.5|-3": lambda row: row["frame"] == 1,
    "frame<1.5": lambda row: row["frame"] in (0, 1),
    "frame>=1.5": lambda row: row["frame"] in (2, 3, 4),
    "frame=2.5": lambda row: False,
    "frame=": lambda row: row["frame"] is None,
    "frame<1e30": lambda row: row["frame"] is not None,
    "study_date=2003|2004-05": lambda row: day(row).startswith(("2003", "2004-05")),
    "study_date!=2003": lambda row: not day(row).startswith("2003"),
    "study_date<2005-03": lambda row: "" < day(row) < "2005-03",
    "study_date<=2005-03": lambda row: "" < day(row) <= "2005-03-31",
    "study_date>2005": lambda row: day(row) > "2005-12-31",
    "study_date=": lambda row: not day(row),
    "patient_sex=F or study_date=2001": lambda row: row["patient_sex"] == "F" or day(row).startswith("2001"),
    "not patient_sex=F or frame=0": lambda row: row["patient_sex"] != "F" or row["frame"] == 0,
}


def pushed(text: str) -> PushedFilter:
    return PushedFilter(tuple(read_terms(text)), parse(text))


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_filters_let_those_pass_that_pass(
    filled: tuple[MilvusEngine, Collection], vectors: Vectors, text: str
) -> None:
    engine, collection = filled
    assert engine.takes("image", pushed(text))
    [found] = engine.nearest(collection, vectors[:1], ROWS, [pushed(text)]).ids
    expected = [number for number in range(1, ROWS + 1) if EXPRESSIONS[text](row(number))]
    assert sorted(found.tolist()) == expected
    assert len(expected) < ROWS


def test_all_of_several_filters_hold(filled: tuple[MilvusEngine, Collection], vectors: Vectors) -> None:
    engine, _ = filled
    asked = [pushed("modality=CT"), pushed("patient_age>=60"), pushed("study_date>2005")]
    [found] = engine.nearest(Collection(1, "series", DIMENSION), vectors[:1], ROWS, asked).ids
    fields = ((number, row(number)) for number in range(1, ROWS + 1))
    expected = [
        number
        for number, row in fields
        if code(row["modality"]) == "CT" and age(operator.ge, 60)(row) and day(row) > "2005-12-31"
    ]
    assert sorted(found.tolist()) == expected
    assert expected


@pytest.mark.parametrize(
    "text",
    [
        "modality~C",
        "label:a=1",
        "quality.a=1",
        "report=a",
        "series_description=a",
        "rendering^=v",
        'modality=a"b',
        "modality=a\\b",
        "modality=é",
        "modality^=a%",
        "image_id=1",
        f"patient_age={'|'.join(map(str, range(1001)))}",
    ],
)
def test_what_cannot_be_said_exactly_is_not_taken(engine: MilvusEngine, text: str) -> None:
    assert not engine.takes("image", pushed(text))


def test_a_field_of_images_is_not_taken_at_other_levels(engine: MilvusEngine) -> None:
    asked = pushed("frame=1")
    assert [engine.takes(level, asked) for level in LEVELS] == [True, False, False]
    assert [engine.takes(level, pushed("modality=CT")) for level in LEVELS] == [True, True, False]


def test_rows_are_replaced_removed_and_dropped(milvus_server: MilvusServer, vectors: Vectors) -> None:
    writer, reader = (MilvusEngine(milvus_server.url, "shared") for _ in range(2))
    other = MilvusEngine(milvus_server.url, "another")
    collection = Collection(3, "study", DIMENSION)
    ids = np.array([2**40, 7, 2**62], np.int64)
    for engine in (writer, other):
        assert engine.count(collection) == 0
        assert len(engine.held(collection, 0, 5).ids) == 0
        assert [len(one) for one in engine.nearest(collection, vectors[:2], 5).ids] == [0, 0]
        engine.remove(collection, ids)
        engine.drop(3)
    other.put(collection, rows_of(np.array([1]), vectors[:1], "study"))
    for _ in range(2):  # the same again changes nothing
        writer.put(collection, rows_of(ids, vectors[:3], "study"))
        writer.put(collection, rows_of(ids[1:2], vectors[5:6], "study"))
        writer.flush()
        assert reader.count(collection) == 3
        [found] = reader.nearest(collection, vectors[5:6], 3).ids
        assert found[0] == 7
        np.testing.assert_array_equal(reader.held(collection, 0, 9).vectors, vectors[[5, 0, 2]])
    writer.remove(collection, np.array([7, 8]))
    writer.flush()
    assert sorted(reader.nearest(collection, vectors[:1], 3).ids[0].tolist()) == [2**40, 2**62]
    writer.drop(3)
    assert reader.count(collection) == 0
    assert [len(one) for one in reader.nearest(collection, vectors[:1], 3).ids] == [0]
    reader.put(collection, rows_of(ids[:1], vectors[:1], "study"))
    reader.flush()
    assert writer.held(collection, 0, 5).ids.tolist() == [2**40]
    other.flush()
    assert other.held(collection, 0, 5).ids.tolist() == [1]
    for engine in (writer, reader, other):
        engine.close()


def test_a_server_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("medsiglip.index.engines.milvus.milvus_engine._PATIENCE_S", 0.3)
    engine = MilvusEngine("milvus://127.0.0.1:1/scans", "home")
    with pytest.raises(CatalogError, match=r"milvus://127\.0\.0\.1:1/scans does not answer") as refused:
        engine.count(Collection(1, "image", DIMENSION))
    assert refused.value.code == "engine-unreachable"
    assert refused.value.__cause__ is None
    with caplog.at_level(logging.DEBUG):
        assert "Traceback" not in caplog.text + "".join(capfd.readouterr())
