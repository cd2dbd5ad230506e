"""No statement grows with the number of things that it is about: 0, 1, 500 or many give the same texts.

Many are 1,200, and 20,000 in the campaign (`make statements-test`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.hierarchy.records import Match
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import FileRecord, ProbeRecord
from medsiglip.index.service.audit_log import AuditEvent, AuditFilter
from medsiglip.index.service.drafts import RevisionRecord
from medsiglip.index.service.routing_rules import Budget, Candidates, RoutedJob
from tests.index.conftest import Catalogue
from tests.index.index_cases import DIMENSION, SPACE, make_bundle, unit_vectors
from tests.statements import statements

Ask = Callable[[CaseIndex, int], object]


def uids(count: int, first: int = 0) -> list[str]:
    return [f"2.25.{first + n}" for n in range(count)]


def paths(count: int) -> list[str]:
    return [f"/data/{n}/0/0.dcm" for n in range(count)]


def records(count: int) -> list[FileRecord]:
    return [FileRecord(f"/refused/{n}", 1, 1, outcome="skipped", code="not-dicom") for n in range(count)]


def by_study(count: int) -> list[LabelRecord]:
    return [LabelRecord("seen", 1.0, "study_instance_uid", uid) for uid in uids(count)]


def by_path(count: int) -> list[LabelRecord]:
    return [LabelRecord("seen", 1.0, "path", path) for path in paths(count)]


def held(index: CaseIndex, count: int) -> list[int]:
    """The ids of the first images."""
    return sorted(image for image in index.table("image", (), among=uids(count)).image_ids.tolist())


def decide(index: CaseIndex, count: int) -> None:
    """A new route sends the studies."""
    route = index.routing_rules.put(f"route{next(NUMBERS)}", {}, enabled=True, priority=0, whole_archive=True)
    looked_at = Candidates(tuple(uids(count)), 0)
    index.routing_rules.decide(route, looked_at, uids(count), RoutedJob("report"))


def hold_back(index: CaseIndex, count: int) -> None:
    """A route whose budget is used up holds the studies back, and then again."""
    route = index.routing_rules.put(f"route{next(NUMBERS)}", {}, enabled=True, priority=0, whole_archive=True)
    for _ in range(2):
        looked_at = index.routing_rules.candidates(route.name)
        index.routing_rules.decide(route, looked_at, uids(count), RoutedJob("report"), Budget(total=0))


def labelled(index: CaseIndex, count: int) -> str:
    """The name of a label that a reader has given the studies."""
    name = f"label {next(NUMBERS)}"
    index.labels.put([replace(one, name=name) for one in by_study(count)], "reader")
    return name


def undo(index: CaseIndex, count: int) -> None:
    """A reader labels the studies, and takes it back."""
    reader = f"reader {next(NUMBERS)}"
    index.labels.put(by_study(count), reader)
    index.labels.undo(reader)


def keep_views(index: CaseIndex, count: int) -> None:
    """Views that name studies are kept and listed."""
    for n in range(min(count, 3)):
        index.views.put("key", f"view {n}", "cases", f"where=study_instance_uid%3D2.25.{n}")
    index.views.listed("key")


def begin_sessions(index: CaseIndex, count: int) -> None:
    """Sessions of one key begin, are found, and end."""
    key, _ = index.api_keys.create("browser", ["read"])
    tokens = [index.sessions.begin(key, timedelta(hours=1))[1] for _ in range(min(count, 3))]
    for token in tokens:
        index.sessions.find(token)
    index.sessions.end_of_key(key.id)


NUMBERS = itertools.count()
ASKED: dict[str, Ask] = {
    "record_files": lambda index, n: index.files.put(records(n)),
    "files_at": lambda index, n: index.files.at(paths(n)),
    "known_instances": lambda index, n: index.instances.pixel_hashes([f"{uid}.0.0" for uid in uids(n)]),
    "hierarchy": lambda index, n: index.hierarchy.studies(
        [Match("study_instance_uid", tuple(uids(n))[:1000])], 50
    ),
    "places": lambda index, n: [list(index.hierarchy.places(uid, None, None)) for uid in uids(n)[:1]],
    "holdings": lambda index, n: index.files.holdings(paths(n)),
    "owners": lambda index, n: index.files.owners(paths(n)),
    "patients_of": lambda index, n: index.patients_of(uids(n)),
    "passing": lambda index, n: index.filters.passing(["modality=CT"], uids(n)),
    "passing unknown": lambda index, n: index.filters.passing(["modality=CT"], uids(n, 10**9)),
    "condition_values": lambda index, n: index.filters.values("modality=CT", uids(n)),
    "table": lambda index, n: index.table("study", ["modality=CT"], among=uids(n)),
    "table by given labels": lambda index, n: index.table("image", given_labels=by_study(n), among=uids(1)),
    "set_labels by study": lambda index, n: index.labels.put(by_study(n)),
    "set_labels by path": lambda index, n: index.labels.put(by_path(n)),
    "labels of a reader": lambda index, n: index.labels.put(by_study(n), f"reader {next(NUMBERS)}"),
    "labels undone": undo,
    "labels of readers": lambda index, n: (
        index.labels.put(by_study(n)),
        index.reader_labels.readings("seen"),
    ),
    "studies to label by study": lambda index, n: index.labels.studies_of(by_study(n)),
    "studies to label by path": lambda index, n: index.labels.studies_of(by_path(n)),
    "map points": lambda index, n: index.points.texts(["modality"], np.array(held(index, n), np.int64)),
    "map labels": lambda index, n: index.points.labels("image", "seen", np.array(held(index, n), np.int64)),
    "map images": lambda index, n: index.points.images_of("image", np.array(held(index, n), np.int64)),
    "search": lambda index, n: index.search(
        unit_vectors(2), k=max(n, 1), exclude_patients=["patient-1", None]
    ),
    "search without many patients": lambda index, n: index.search(
        np.repeat(unit_vectors(1), max(n, 1), axis=0)[:500],
        k=1,
        exclude_patients=[f"patient-{i}" for i in range(max(n, 1))][:500],
    ),
    "vectors": lambda index, n: index.vectors(held(index, n)),
    "where of many": lambda index, n: index.studies([f"study_instance_uid={'|'.join(uids(min(n, 2000)))}"]),
    "thumbnails shown": lambda index, n: index.thumbnails.shown(held(index, n)),
    "thumbnails put": lambda index, n: index.thumbnails.put(dict.fromkeys(held(index, n), b"jpeg")),
    "report texts put": lambda index, n: index.report_texts.put(dict.fromkeys(uids(n), "A text."), "import"),
    "report texts of": lambda index, n: index.report_texts.of(uids(n)),
    "report texts found": lambda index, n: index.report_texts.find("text", limit=max(n, 1)),
    "job changes": lambda index, n: index.jobs.changes([f"{i:032x}" for i in range(n)]),
    "audit": lambda index, n: index.audit.append([AuditEvent("a", "view", tuple(uids(n)))] if n else []),
    "audit newest": lambda index, n: index.audit.newest(limit=max(n, 1), only=AuditFilter(study="2.25.1")),
    "views kept": lambda index, n: keep_views(index, n),
    "sessions": lambda index, n: begin_sessions(index, n),
    "audit events": lambda index, n: index.audit.append([AuditEvent("a", "view", (uid,)) for uid in uids(n)]),
    "decide": decide,
    "hold back": hold_back,
    "route candidates": lambda index, n: index.routing_rules.candidates(
        index.routing_rules.put(
            f"route{next(NUMBERS)}", {}, enabled=True, priority=0, whole_archive=n > 0
        ).name
    ),
}


@pytest.fixture(scope="module", params=[1_200, pytest.param(20_000, marks=pytest.mark.campaign)])
def many(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def large(
    make_catalogue: Callable[[], Catalogue], tmp_path_factory: pytest.TempPathFactory, many: int
) -> Iterator[CaseIndex]:
    """Many studies of one image, in two commits."""
    with make_catalogue().open(tmp_path_factory.mktemp("large") / "home") as index:
        index.activate(SPACE)
        for first in (0, many // 2):
            bundles = [make_bundle(study, 1) for study in range(first, first + many // 2)]
            index.add(bundles, unit_vectors(many // 2, first))
        index.labels.put([LabelRecord("known", 1.0, "study_instance_uid", "2.25.0")])
        index.rebuild()
        index.clean_up()
        yield index


def in_one_form(text: str) -> str:
    """A statement, whichever way round it joins: labels are joined from the side of which there is less."""
    return text.replace("LEFT OUTER JOIN", "JOIN")


@pytest.mark.parametrize("name", ASKED)
def test_the_statements_are_the_same_for_few_and_many(large: CaseIndex, many: int, name: str) -> None:
    found = {}
    for size in (0, 1, 500, many):
        with statements() as seen:
            ASKED[name](large, size)
        found[size] = seen
    known = {in_one_form(text) for size in (0, 1, 500) for text in found[size].texts}
    assert {in_one_form(text) for text in found[many].texts} <= known
    assert found[many].parameters == found[500].parameters
    assert found[many].count <= found[500].count
    assert max(map(len, found[many].texts)) < 10_000
    assert found[many].parameters < 2000  # an insert has a hundred rows, far below what databases take


def test_vectors_of_few_studies_come_from_their_shards_in_the_same_statements(
    large: CaseIndex,
) -> None:
    found = {}
    wanted = large.table("study", among=uids(1000))
    for size in (1, 500, 1000):
        with CaseIndex.open(large.home, database_url=url_of(large)) as index, statements() as seen:
            table = index.table("study", among=uids(size))
        found[size] = seen
    assert np.array_equal(table.vectors, wanted.vectors)
    assert table.ids == wanted.ids
    few, more, all_of_them = ({in_one_form(text) for text in one.texts} for one in found.values())
    assert few == more == all_of_them
    assert found[1000].count == found[1].count


def url_of(index: CaseIndex) -> str:
    return index._database.url.render_as_string(hide_password=False)


def test_adding_and_replacing_many(
    make_catalogue: Callable[[], Catalogue], tmp_path_factory: pytest.TempPathFactory, many: int
) -> None:
    with make_catalogue().open(tmp_path_factory.mktemp("many") / "home") as index:
        index.activate(SPACE)
        found = {}
        for first, size in ((0, 0), (0, 1), (1, 500), (1000, many)):
            small = {"thumbnail": b"jpeg"}
            bundles = [make_bundle(study, 1, image_fields=small) for study in range(first, first + size)]
            with statements() as seen:
                index.add(bundles, unit_vectors(size, first).reshape(size, DIMENSION))
            found[size] = seen
        assert found[many].texts <= found[500].texts
        assert found[many].count == found[500].count
        again = range(1000, 1000 + many)
        replaced = [make_bundle(study, 1, pixels="b", replace_series=True) for study in again]
        index.add(replaced, unit_vectors(many, 7))
        assert index.info().images == many + 501
        assert index.verify().problems == ()


@pytest.mark.long(every=2)
def test_forgetting_a_patient_of_many_studies_with_drafts(
    make_catalogue: Callable[[], Catalogue], tmp_path_factory: pytest.TempPathFactory
) -> None:
    count = 1_200
    with make_catalogue().open(tmp_path_factory.mktemp("patient") / "home") as index:
        index.activate(SPACE)
        for patient, size in (("few", 500), ("many", count)):
            first = 0 if patient == "few" else 1000
            bundles = [make_bundle(first + n, 1, patient=patient) for n in range(size)]
            index.add(bundles, unit_vectors(size, first))
            index.report_texts.put(dict.fromkeys(uids(size, first), "Words."), "import")
            job = index.jobs.submit("ingest", {"paths": ["/data"]})
            claimed = index.jobs.claim("worker", ["ingest"])
            assert claimed is not None
            index.jobs.finish(claimed, {"skipped": [{"path": f"/data/{first}/0/0.dcm"}], "warnings": ["odd"]})
            assert index.jobs.get(job.id).result["skipped"]
            for n in range(3):
                index.drafts.add(
                    f"{patient}-{n}",
                    f"2.25.{first + n}",
                    route=None,
                    generator="g",
                    text="t",
                    payload={},
                    by="x",
                )
        found = {}
        for patient in ("few", "many"):
            with statements() as seen:
                removal = index.remove_patient(patient)
            found[patient] = seen
            assert removal.studies == (500 if patient == "few" else count)
        assert found["many"].texts <= found["few"].texts
        assert found["many"].count <= found["few"].count
        assert index.info().images == 0
        assert index.verify().problems == ()


def test_probes_drafts_and_jobs_are_listed_in_one_statement_each(large: CaseIndex) -> None:
    for n in range(3):
        large.probes.put(ProbeRecord(f"p{n}", SPACE.name, f"probes/p{n}.npz", {"patients": ["patient-1"]}))
    record = large.drafts.add("d", "2.25.1", route=None, generator="g", text="t", payload={}, by="x")
    large.drafts.advance(record, RevisionRecord("accepted", "x", text="t"), report="t")
    with statements() as seen:
        large.probes.listed(), large.drafts.listed(verdict="agree"), large.jobs.listed(kind="ingest")
    assert seen.count <= 3 * 4
