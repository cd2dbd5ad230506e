"""Every engine gives the answers of a comparison with all vectors, whatever was changed and deleted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import Hit, Level, SeriesBundle
from medsiglip.index.search_records import Asked, SearchOptions
from medsiglip.index.vectors import unit_length
from tests.index.engines.conftest import ENGINES, EngineHome
from tests.index.index_cases import make_bundle, unit_vectors

LEVELS: tuple[Level, ...] = ("image", "series", "study")
MODALITIES, PARTS, SEXES = ("CT", "MR", "ct"), ("CHEST", "ABDOMEN", None), ("F", "M", None)
TOLERANCE = 2e-7
"""What float32 and the order of sums do to the cosine with a mean."""


@dataclass(frozen=True)
class Row:
    """An image as the test knows it."""

    vector: np.ndarray
    study: int
    series: int
    frame: int
    facts: dict[str, Any]


FILTERS: dict[str, Callable[[Row], bool]] = {
    "modality=CT": lambda row: row.facts["modality"].upper() == "CT",
    "modality!=CT": lambda row: row.facts["modality"].upper() != "CT",
    "body_part_examined=chest|abdomen": lambda row: row.facts["body_part_examined"] is not None,
    "body_part_examined=": lambda row: row.facts["body_part_examined"] is None,
    "patient_age>=50": lambda row: row.facts["patient_age"] is not None and row.facts["patient_age"] >= 50,
    "patient_age=20..<40|70": lambda row: row.facts["patient_age"] in (20, 30, 70),
    "study_date>2020-03": lambda row: row.facts["study_date"] > "2020-03-31",
    "not patient_sex=F": lambda row: row.facts["patient_sex"] != "F",
    "modality=MR or patient_age<30": lambda row: (
        row.facts["modality"] == "MR"
        or (row.facts["patient_age"] is not None and row.facts["patient_age"] < 30)
    ),
    "study_instance_uid=2.25.3": lambda row: row.study == 3,
    "frame=1": lambda row: True,
    "slice_index=0": lambda row: row.frame == 0,
    "series_description~wit": lambda row: row.series == 0,
}


@dataclass
class World:
    """A home, and what must be in it."""

    place: EngineHome
    index: CaseIndex
    rows: dict[int, Row] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)

    def add(self, study: int, seed: int) -> None:
        """A study with two series, of three and one images, by a patient who may have others; or another
        series of one that is there, whose facts may change those of the study.
        """
        facts = {
            "patient_age": (20.0, 30.0, 70.0, None)[seed % 4],
            "patient_sex": SEXES[seed % 3],
            "study_date": f"20{18 + study % 5}-0{1 + study % 9}-15",
        }
        held = {row.series for row in self.rows.values() if row.study == study}
        for series, size in {max(held) + 1: 1}.items() if held else enumerate((3, 1)):
            of_series = {
                "modality": MODALITIES[(study + series) % 3],
                "body_part_examined": PARTS[(study * 2 + series) % 3],
                "series_description": "Without" if series == 0 else None,
            }
            bundle = self._bundle(study, series, size, facts, of_series)
            vectors = unit_length(unit_vectors(size, 1000 * study + 10 * series))
            ids = self.index.add([bundle], vectors)
            for frame, (image_id, vector) in enumerate(zip(ids, vectors, strict=True)):
                if image_id not in self.rows:
                    self.rows[image_id] = Row(vector, study, series, frame, {**facts, **of_series})
        # Of several values that a study was given, the smallest counts.
        theirs = [row.facts for row in self.rows.values() if row.study == study]
        for name in facts:
            values = [known[name] for known in theirs if known[name] is not None]
            for known in theirs:
                known[name] = min(values, default=None)
        self.delivered.add(study)

    @staticmethod
    def _bundle(study: int, series: int, size: int, facts: Any, of_series: Any) -> SeriesBundle:
        return make_bundle(
            study, size, series=series, patient=patient_of(study), study_fields=facts, series_fields=of_series
        )

    def remove(self, study: int) -> None:
        """Forget a study."""
        if study in self.delivered:
            self.index.remove_study(f"2.25.{study}")
            self.rows = {image_id: row for image_id, row in self.rows.items() if row.study != study}
            self.delivered.discard(study)

    def brute(
        self, query: np.ndarray, level: Level, where: list[str], without: str | None
    ) -> list[tuple[float, str]]:
        """All scores at a level, best first, each with the UID or id of what it is of."""
        passing = {one for one, row in self.rows.items() if all(FILTERS[text](row) for text in where)}
        groups: dict[str, list[int]] = {}
        for image_id, row in sorted(self.rows.items()):
            groups.setdefault(name_of(image_id, row, level), []).append(image_id)
        found = []
        for name, members in groups.items():
            if not passing.intersection(members) or patient_of(self.rows[members[0]].study) == without:
                continue
            vectors = [self.rows[one].vector.astype(np.float64) for one in members]
            mean = np.mean(vectors, axis=0) if len(vectors) > 1 or level != "image" else vectors[0]
            length = 1.0 if level == "image" else math.sqrt(math.fsum(mean * mean))
            found.append((math.fsum(mean * query.astype(np.float64)) / length, name))
        return sorted(found, key=lambda one: -one[0])


def patient_of(study: int) -> str:
    return f"patient-{study // 2}"


def shown(hit: Hit, level: Level) -> str:
    by_level = {"image": str(hit.image_id), "series": hit.series_instance_uid}
    return by_level.get(level, hit.study_instance_uid)


def name_of(image_id: int, row: Row, level: Level) -> str:
    series = f"2.25.{row.study}.{row.series}"
    return {"image": str(image_id), "series": series, "study": f"2.25.{row.study}"}[level]


@pytest.fixture(
    scope="module",
    params=[pytest.param(one, marks=[pytest.mark.long] * (one == "milvus")) for one in ENGINES],
)
def world(request: pytest.FixtureRequest, make_home: Callable[[str], EngineHome]) -> Iterator[World]:
    place = make_home(request.param)
    with place.open() as index:
        made = World(place, index)
        for study in range(12):
            made.add(study, study)
        yield made


CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 16), st.integers(0, 11)), max_size=3
)
WHERE = st.lists(st.sampled_from(sorted(FILTERS)), max_size=2, unique=True)


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.generate],  # the home goes on from example to example, so that none can be repeated
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=CHANGES,
    level=st.sampled_from(LEVELS),
    where=WHERE,
    without=st.one_of(st.none(), st.integers(0, 8).map(lambda one: f"patient-{one}")),
    k=st.sampled_from([1, 4, 100]),
    seed=st.integers(0, 1000),
)
def test_answers_are_those_of_a_comparison_with_all(
    world: World,
    changes: list[tuple[str, int, int]],
    level: Level,
    where: list[str],
    without: str | None,
    k: int,
    seed: int,
) -> None:
    for kind, study, fact in changes:
        if kind == "add":
            world.add(study, fact)
        else:
            world.remove(study)
    query = unit_length(unit_vectors(1, seed + 500_000))[0]
    expected = world.brute(query, level, where, without)[:k]
    excluded = () if without is None else (without,)
    asked = [Asked(query, exclude_patients=excluded)]
    for exact in (True, None, False):
        [answer] = world.index.find(asked, SearchOptions(k, level, tuple(where), exact=exact))
        hits = [one.hit for one in answer.hits]
        assert len(hits) == len(expected)
        assert [shown(hit, level) for hit in hits] == [name for _, name in expected]
        if level == "image":
            assert [hit.score for hit in hits] == [float(np.float32(score)) for score, _ in expected]
        else:
            assert np.allclose([hit.score for hit in hits], [one for one, _ in expected], atol=TOLERANCE)
        has_engine = world.place.setting is not None
        if exact or (exact is None and not has_engine):
            assert answer.how in ("compared", "proven")
        elif has_engine and expected and exact is None and not where and without is None:
            memory = world.place.memory
            is_beyond = memory is not None and min(k, len(expected)) > memory.most
            assert answer.how == ("compared" if is_beyond else "approximate")


def test_pages_are_one_answer(world: World) -> None:
    query = unit_vectors(1, 77)[0]
    for level in LEVELS:
        expected = [name for _, name in world.brute(query, level, [], None)]
        found, cursor = [], None
        while True:
            [answer] = world.index.find([Asked(query, cursor=cursor)], SearchOptions(5, level))
            found += [one.hit for one in answer.hits]
            cursor = answer.cursor
            if cursor is None:
                break
        assert [shown(hit, level) for hit in found] == expected


def test_studies_are_found_set_to_set(world: World) -> None:
    study = min(world.delivered)
    mine = np.stack([row.vector for row in world.rows.values() if row.study == study])
    asked = Asked(mine.mean(axis=0), images=mine)
    [answer] = world.index.find([asked], SearchOptions(3, "study", compare="sets"))
    assert answer.hits[0].hit.study_instance_uid == f"2.25.{study}"
    assert answer.hits[0].hit.score == pytest.approx(1.0, abs=1e-6)


def test_another_process_sees_what_this_one_changed(world: World) -> None:
    with world.place.open() as other:
        world.add(40, 1)
        vector = next(row.vector for row in world.rows.values() if row.study == 40)
        [hits] = other.search(vector[None], k=1)
        assert hits[0].study_instance_uid == "2.25.40"
        world.remove(40)
        [hits] = other.search(vector[None], k=1)
        assert hits[0].study_instance_uid != "2.25.40"


def test_an_engine_agrees_with_the_shards_and_one_that_does_not_is_named(world: World) -> None:
    found = world.index.verify()
    assert found.ok, found.problems
    assert found.images == found.faiss == len(world.rows) > 0
