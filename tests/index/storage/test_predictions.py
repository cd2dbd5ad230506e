"""Stored predictions of probes: filters find them, and they go with what they were made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, func, select

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.score_schema import predictions
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import ImageRecord, Level, ProbeRecord, Space
from medsiglip.index.storage.backups.backup import back_up
from medsiglip.index.storage.backups.backup_check import restore_backup
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


def make_probe(
    index: CaseIndex, name: str, level: Level, labels: tuple[str, ...] = ("nodule",)
) -> ProbeRecord:
    summary = {"level": level, "labels": [{"label": label} for label in labels]}
    record = ProbeRecord(name, SPACE.name, f"probes/{name}.npz", summary)
    return replace(record, version=index.probes.put(record))


def store(index: CaseIndex, probe: ProbeRecord, values: list[list[float]]) -> int:
    """Store values for the first rows of the probe's level, in two batches."""
    table = index.table(probe.summary["level"])
    labels = [one["label"] for one in probe.summary["labels"]]
    ids, rows = table.image_ids[: len(values)], np.array(values)
    return index.predictions.replace(probe, labels, [(ids[:1], rows[:1]), (ids[1:], rows[1:])])


def passing(index: CaseIndex, *where: str, level: Level = "image") -> list[str]:
    """Ids of the rows of a level that pass, found by a search as by a table."""
    ids = index.table(level, where).ids
    hits = index.search(unit_vectors(1), k=50, level=level, where=where)[0]
    assert len(hits) == len(ids)
    return list(ids)


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    """Three studies of two series each, with two images and one."""
    for study in (1, 2, 3):
        for series in (0, 1):
            index.add(
                [make_bundle(study, 2 - series, series=series)], unit_vectors(2 - series, 10 * study + series)
            )
    return index


def test_filters_compare_predictions_at_the_level_of_the_probe(filled: CaseIndex) -> None:
    at_series = make_probe(filled, "p", "series")
    assert store(filled, at_series, [[0.9], [0.8], [0.2], [0.7], [0.5]]) == 5
    uids = ["2.25.1.0", "2.25.1.1", "2.25.2.0", "2.25.2.1", "2.25.3.0"]
    assert passing(filled, "probe:p>0.8", level="series") == uids[:1]
    assert passing(filled, "probe:p>=0.8", level="series") == uids[:2]
    assert passing(filled, "probe:p<0.5", level="series") == uids[2:3]
    assert passing(filled, "probe:p<=0.5", level="series") == [uids[2], uids[4]]
    assert passing(filled, "probe:p=0.8|0.5", level="series") == [uids[1], uids[4]]
    assert passing(filled, "probe:p!=0.8|0.5", level="series") == [uids[0], uids[2], uids[3]]
    assert passing(filled, "probe:p/nodule>0.8") == [*filled.table("image").ids[:2]]
    assert passing(filled, "probe:p@1/nodule>0.6", "probe:p<0.85", level="study") == ["2.25.1", "2.25.2"]
    assert [one.study_instance_uid for one in filled.studies(["probe:p>0.6"])] == ["2.25.1", "2.25.2"]
    assert filled.filters.passing(["probe:p>0.6"], ["2.25.2", "2.25.3"]) == {"2.25.2"}
    assert filled.filters.values("probe:p>0.6", ["2.25.2", "2.25.3"]) == {
        "2.25.2": [0.2, 0.7],
        "2.25.3": [0.5],
    }
    for level in ("image", "study"):
        store(filled, make_probe(filled, level, level), [[0.9], [0.1]])
        first, second = filled.table(level).ids[:2]
        assert passing(filled, f"probe:{level}>0.5", level=level) == [first]
        assert passing(filled, f"probe:{level}!=0.9", level=level) == [second]


def test_each_label_and_version_has_its_own(filled: CaseIndex) -> None:
    odd = 'a/b>=1 "quoted"'
    first = make_probe(filled, "p", "study", ("x", odd))
    store(filled, first, [[0.9, 0.1], [0.2, 0.8]])
    assert passing(filled, "probe:p/x>0.5", level="study") == ["2.25.1"]
    assert passing(filled, f"probe:p/{odd}>0.5", level="study") == ["2.25.2"]
    second = make_probe(filled, "p", "study", ("x",))
    with pytest.raises(CatalogError, match="no stored predictions: run `probe predict p --all --store`"):
        filled.table("study", ["probe:p>0.5"])
    store(filled, second, [[0.2], [0.9]])
    assert passing(filled, "probe:p/x>0.5", level="study") == ["2.25.2"]
    assert passing(filled, "probe:p@1/x>0.5", level="study") == ["2.25.1"]
    filled.probes.remove("p", 2)
    assert passing(filled, "probe:p/x>0.5", level="study") == ["2.25.1"]


@pytest.mark.long(every=4)
@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("probe:pp>0.5", r"there is no probe 'pp'; .*p"),
        ("probe:p@7/x>0.5", "has no version '7'"),
        ("probe:p@x/x>0.5", "has no version 'x'"),
        ("probe:p@99999999999999999999/x>0.5", "has no version"),
        ("probe:p>0.5", "several labels; write one as probe:p/LABEL>0.8. There are: x, y"),
        ("probe:p/z>0.5", "the probe p has no label 'z'"),
        ("probe:p/x>high", "'high' is not a number"),
        ("probe:p/x>nan", "'nan' is not a number"),
        ("probe:p/x>0.1|0.2", "> compares with one number"),
        ("probe:p/x=", "= compares a prediction with a number"),
        ("probe:p/x", "write it as probe:NAME>0.8"),
        ("probe:>0.5", "write it as probe:NAME>0.8"),
    ],
)
def test_what_cannot_be_compared_is_said(filled: CaseIndex, where: str, says: str) -> None:
    store(filled, make_probe(filled, "p", "study", ("x", "y")), [[0.5, 0.5]])
    with pytest.raises(CatalogError, match=says) as caught:
        filled.filters.check([where])
    assert caught.value.code == "bad-filter"


def test_they_go_with_their_study_probe_and_pictures(
    filled: CaseIndex, home: object, catalogue: Catalogue, tmp_path: object
) -> None:
    engine = create_engine(catalogue.url_in(filled.home))

    def count() -> int:
        with engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(predictions)).scalar_one())

    levels: tuple[Level, ...] = ("image", "series", "study")
    made = {level: make_probe(filled, level, level) for level in levels}
    for level, rows in zip(levels, (9, 6, 3), strict=True):
        assert store(filled, made[level], [[0.5]] * rows) == rows
        assert filled.predictions.count(made[level]) == rows
    assert count() == 18
    filled.remove_study("2.25.3")
    assert count() == 12
    # The first series of study 1 is drawn anew from two other pictures: its own rows go, and the study's.
    filled.add([make_bundle(1, 2, pixels="b", replace_series=True)], unit_vectors(2, 7))
    assert [filled.predictions.count(made[level]) for level in levels] == [4, 3, 1]
    assert passing(filled, "probe:study>=0", level="study") == ["2.25.2"]
    filled.probes.remove("image")
    assert count() == 4
    engine.dispose()


def test_storing_again_replaces_all_and_leaves_out_what_is_gone(filled: CaseIndex) -> None:
    probe = make_probe(filled, "p", "study")
    store(filled, probe, [[0.9], [0.9], [0.9]])
    table = filled.table("study")
    filled.remove_study("2.25.2")
    values = np.array([[0.1], [0.1]])
    assert filled.predictions.replace(probe, ["nodule"], [(table.image_ids[:2], values)]) == 1
    assert passing(filled, "probe:p>=0", level="study") == ["2.25.1"]
    assert filled.predictions.replace(probe, ["nodule"], []) == 0
    assert filled.predictions.count(probe) == 0
    filled.probes.remove("p")
    with pytest.raises(CatalogError, match="no probe p@1 any more"):
        filled.predictions.replace(probe, ["nodule"], [(table.image_ids[:1], values[:1])])


def test_pictures_that_came_later_are_counted(filled: CaseIndex) -> None:
    for level in ("image", "study"):
        store(filled, make_probe(filled, level, level), [[0.5]] * len(filled.table(level).ids))
    where = ["probe:image>0.1", "probe:study>0.1", "probe:study<0.9", "modality=CT"]
    assert filled.filters.warnings(where) == ()
    filled.add([make_bundle(1, 2, series=5), make_bundle(9, 3)], unit_vectors(5, 99))
    said = filled.filters.warnings(where)
    assert [one[:58] for one in said] == ["5 images have no part in the stored predictions of the pro"] * 2
    assert "`probe predict study --all --store`" in said[1]
    probe = filled.probes.find("study")
    assert probe is not None
    store(filled, probe, [[0.5]] * 4)
    assert [one.split(";")[0][-11:] for one in filled.filters.warnings(where)] == ["probe image"]


def test_they_go_with_their_space_and_with_pictures_drawn_anew(filled: CaseIndex) -> None:
    probe = make_probe(filled, "p", "image")
    assert store(filled, probe, [[0.5]] * 9) == 9
    other = Space("0ddba11" * 9, "medsiglip-eval", 8, "other")
    work = filled.reembedding(other)
    redrawn = [(one, "voi") for number in work.series(0, 50) for one in work.images(number)]
    pictures = [
        (one.image_id, ImageRecord(one.sop_instance_uid, one.pixel_hash, one.frame, None, rendering))
        for one, rendering in redrawn
    ]
    assert work.add(pictures, unit_vectors(9, 2, 8)) == 9
    assert work.finish([])
    with pytest.raises(CatalogError, match="is of another model than the archive's"):
        filled.filters.check(["probe:p>0.1"])
    assert filled.predictions.count(probe) == 9
    assert filled.spaces.drop(SPACE.name) == 9
    assert filled.predictions.count(probe) == 0
    assert filled.probes.find("p") == probe


def test_a_backup_holds_them(filled: CaseIndex, catalogue: Catalogue, tmp_path: Path) -> None:
    probe = make_probe(filled, "p", "study")
    (filled.home / "probes").mkdir(exist_ok=True)
    (filled.home / probe.file).write_bytes(b"weights")
    store(filled, probe, [[0.9], [0.1]])
    back_up(filled.home, tmp_path / "backup", catalogue.url, lambda *_: None)
    restore_backup(tmp_path / "backup", tmp_path / "restored", None, lambda *_: "", lambda *_: None)
    with CaseIndex.open(tmp_path / "restored") as restored:
        assert passing(restored, "probe:p>0.5", level="study") == ["2.25.1"]
