"""Pages, limits, duplicates and diverse hits against a plain reference, while images come and cases go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import Level
from medsiglip.index.search.ranking import selection
from medsiglip.index.search_records import Asked, Found, SearchOptions
from medsiglip.index.vectors import mean_directions
from tests.index.conftest import Catalogue
from tests.index.index_cases import make_bundle, unit_vectors

MODALITIES = ("CT", "MR")
LABELS = ("nodule", "effusion", "fracture")


@dataclass
class Row:
    """An image as the reference knows it."""

    image_id: int
    study: str
    series: str
    patient: str
    modality: str
    picture: str
    vector: np.ndarray
    labels: tuple[str, ...]


@dataclass
class World:
    """An index, and the same content as a list."""

    index: CaseIndex
    draw: np.random.Generator
    rows: list[Row] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    studies: int = 0

    def add(self, studies: int, *, near: np.ndarray | None = None, series: int = 0) -> None:
        """Add studies, some of whose images are copies of earlier ones, or nearly."""
        for _ in range(studies):
            self.add_series(self.studies, series, near)
            if self.draw.random() < 0.4:
                self.add_series(self.studies, series + 1, near)
            self.studies += 1

    def add_series(self, study: int, series: int, near: np.ndarray | None = None) -> None:
        count = int(self.draw.integers(1, 4))
        pixels = [f"p{self.draw.integers(0, 40)}" for _ in range(count)]
        modality = MODALITIES[int(self.draw.integers(0, 2))]
        patient = f"patient{study % 5}"
        bundle = make_bundle(
            study, count, series=series, patient=patient, pixels=pixels, series_fields={"modality": modality}
        )
        vectors = self.vectors(count, near)
        ids = self.index.add([bundle], vectors)
        names = tuple(name for name in LABELS if self.draw.random() < 0.4)
        uid = bundle.study.study_instance_uid
        known = next((row.labels for row in self.rows if row.study == uid), None)
        if known is None and names:
            self.index.labels.put([LabelRecord(one, 1.0, "study_instance_uid", uid) for one in names])
        names = names if known is None else known
        for place, image_id in enumerate(ids):
            self.rows.append(
                Row(
                    image_id,
                    uid,
                    bundle.series.series_instance_uid,
                    patient,
                    modality,
                    pixels[place],
                    vectors[place],
                    names,
                )
            )
        self.order += [bundle.series.series_instance_uid, uid]

    def vectors(self, count: int, near: np.ndarray | None) -> np.ndarray:
        made = unit_vectors(count, int(self.draw.integers(0, 10**6)))
        for place in range(count):
            if near is not None:
                made[place] = near + 0.1 * made[place]
            elif self.rows and self.draw.random() < 0.5:
                other = self.rows[int(self.draw.integers(0, len(self.rows)))].vector
                made[place] = other + (0.05 * made[place] if self.draw.random() < 0.5 else 0)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made.astype(np.float32)

    def remove(self, study: str) -> None:
        self.index.remove_study(study)
        self.rows = [row for row in self.rows if row.study != study]


@dataclass
class Case:
    """What may be a hit of a level."""

    key: object
    place: int
    score: float
    vector: np.ndarray
    counts: dict[str, tuple[str, ...]]
    picture: str | None


def cases(world: World, level: Level, query: np.ndarray, modality: str | None, newest: int) -> list[Case]:
    """Everything that may be a hit, best first."""
    old = [row for row in world.rows if row.image_id <= newest]
    groups: dict[object, list[Row]] = {}
    for row in sorted(old, key=lambda one: one.image_id):
        key = {"image": row.image_id, "series": row.series, "study": row.study}[level]
        groups.setdefault(key, []).append(row)
    found = []
    for key, rows in groups.items():
        if all(modality not in (None, row.modality) for row in rows):
            continue
        stored = world.index.vectors([row.image_id for row in rows])
        vector = stored[0] if level == "image" else mean_directions([stored])[0]
        score = np.float32(vector.astype(np.float64) @ query.astype(np.float64))
        counts = {"patient": (rows[0].patient,), "label": rows[0].labels}
        if level != "study":
            counts |= {"study": (rows[0].study,), "series": (rows[0].series,)}
        place = rows[0].image_id if level == "image" else world.order.index(str(key))
        picture = rows[0].picture if level == "image" else None
        found.append(Case(key, place, float(score), vector.astype(np.float64), counts, picture))
    return sorted(found, key=lambda one: (-one.score, one.place))


def reference(
    ranking: list[Case], options: SearchOptions, shown: list[object], behind: tuple[float, int] | None
) -> list[Case]:
    """The next page, chosen one by one from all that is left."""
    hits = [one for one in ranking if one.key in shown]
    page: list[Case] = []
    waiting = [
        one
        for one in ranking
        if one.key not in shown
        and (options.min_score is None or np.float32(one.score) >= options.min_score)
        and (behind is None or options.diversity or (-one.score, one.place) > (-behind[0], behind[1]))
    ]
    while len(page) < options.k:
        counts = Counter((kind, name) for hit in hits for kind in options.limits for name in hit.counts[kind])
        waiting = [
            one
            for one in waiting
            if all(
                counts[kind, name] < most
                for kind, most in options.limits.items()
                for name in one.counts[kind]
            )
            and not any(are_duplicates(one, hit, options.dedupe) for hit in hits)
        ]
        if not waiting:
            break
        near = waiting[: selection.WINDOW if options.diversity else 1]
        best = max(near, key=lambda one: relevance(one, hits, options.diversity))
        waiting.remove(best)
        hits.append(best)
        page.append(best)
    return page


def cosine(one: Case, other: Case) -> float:
    return float(np.float32(one.vector @ other.vector))


def are_duplicates(one: Case, other: Case, least: float | None) -> bool:
    if least is None:
        return False
    same = one.picture is not None and one.picture == other.picture
    return same or cosine(one, other) >= least


def relevance(one: Case, hits: list[Case], part: float) -> float:
    redundant = max((cosine(one, hit) for hit in hits), default=0.0)
    return (1 - part) * one.score - part * redundant


def keys(found: Found, level: Level) -> list[object]:
    of = {"image": "image_id", "series": "series_instance_uid", "study": "study_instance_uid"}[level]
    return [getattr(one.hit, of) for one in found.hits]


def limits(level: Level) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{}, {"per_patient": 1}, {"per_patient": 3}, {"per_label": 2}]
    if level != "study":
        found.append({"per_study": 1, "per_label": 3})
    if level == "image":
        found += [{"per_series": 1}, {"per_study": 2, "per_patient": 4}]
    return found


@st.composite
def ways(draw: st.DrawFn) -> SearchOptions:
    level: Level = draw(st.sampled_from(["image", "series", "study"]))
    modality = draw(st.sampled_from([(), ("modality=CT",)]))
    more = draw(st.sampled_from(limits(level)))
    return SearchOptions(
        draw(st.sampled_from([1, 3, 7, 30])),
        level,
        modality,
        min_score=draw(st.sampled_from([None, None, 0.0, 0.3])),
        dedupe=draw(st.sampled_from([None, None, 0.99, 1.0])),
        diversity=draw(st.sampled_from([0.0, 0.0, 0.3, 0.9])),
        **more,
    )


def check_pages(world: World, options: SearchOptions, seed: int, *, changes: bool) -> None:
    query = unit_vectors(1, seed)[0]
    if world.rows and seed % 2:
        query = world.rows[seed % len(world.rows)].vector
    newest = max(row.image_id for row in world.rows)
    modality = "CT" if options.where else None
    shown: list[object] = []
    behind, cursor = None, None
    while True:
        [found] = world.index.find([Asked(query, cursor=cursor)], options)
        ranking = cases(world, options.level, query, modality, newest)
        expected = reference(ranking, options, shown, behind)
        assert keys(found, options.level) == [one.key for one in expected]
        assert np.allclose([one.hit.score for one in found.hits], [one.score for one in expected], atol=1e-6)
        assert [one.hit.rank for one in found.hits] == [len(shown) + 1 + n for n in range(len(expected))]
        assert set(keys(found, options.level)).isdisjoint(shown)
        shown += keys(found, options.level)
        if expected:
            behind = expected[-1].score, expected[-1].place
        if found.cursor is None:
            break
        cursor = found.cursor
        if changes and world.draw.random() < 0.7:
            change(world, query)
    assert not reference(cases(world, options.level, query, modality, newest), options, shown, behind)


def change(world: World, query: np.ndarray) -> None:
    """Add images that would be among the best hits, some to known studies; or remove a study."""
    studies = sorted({row.study for row in world.rows})
    if world.draw.random() < 0.5 and len(studies) > 1:
        world.remove(studies[int(world.draw.integers(0, len(studies)))])
    else:
        world.add(1, near=query)
        study = int(studies[0].rpartition(".")[2])
        world.add_series(study, 10 + len(world.order), near=query)


@pytest.mark.long(every=3)
@pytest.mark.parametrize("block", [256, 2])
def test_pages_go_on_as_the_reference_does(
    tmp_path_factory: pytest.TempPathFactory,
    make_catalogue: Callable[[], Catalogue],
    monkeypatch: pytest.MonkeyPatch,
    block: int,
) -> None:
    monkeypatch.setattr(selection, "_BLOCK", block)
    monkeypatch.setattr(selection, "WINDOW", 6)

    @settings(max_examples=3, deadline=None)
    @given(st.integers(0, 10**6), st.integers(2, 12), st.lists(ways(), min_size=6, max_size=6))
    def holds(seed: int, studies: int, chosen: list[SearchOptions]) -> None:
        home: Path = tmp_path_factory.mktemp("pages") / "home"
        with make_catalogue().open_migrated(home) as index:
            world = World(index, np.random.default_rng(seed))
            world.add(studies)
            for number, options in enumerate(chosen):
                if len({row.study for row in world.rows}) < 2:
                    world.add(studies)
                check_pages(world, options, seed + number, changes=number % 2 == 1)

    holds()
