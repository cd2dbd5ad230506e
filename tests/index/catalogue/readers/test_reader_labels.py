"""Labels of several readers in a catalogue: what the archive has for it, undoing, and what is forgotten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelKey, LabelRecord, Reading, UndoneLabels
from tests.index.conftest import Archive, Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

STUDY: tuple[LabelKey, str] = ("study_instance_uid", "2.25.1")


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    index.add([make_bundle(study, 2, patient=f"p{study % 2}") for study in range(4)], unit_vectors(8))
    return index


def one(value: float | None, name: str = "x", uid: str = "2.25.1") -> list[LabelRecord]:
    return [LabelRecord(name, value, "study_instance_uid", uid)]


def a_class(name: str, *others: str, uid: str = "2.25.1") -> list[LabelRecord]:
    return [LabelRecord(name, 1.0, "study_instance_uid", uid, True, "-".join(sorted([name, *others])))]


def of(index: CaseIndex, uid: str = "2.25.1") -> dict[str, float]:
    return index.study(uid).labels


def test_readers_who_disagree_leave_no_label_until_a_third_decides(filled: CaseIndex) -> None:
    filled.labels.put(one(1.0), "ann")
    assert of(filled) == {"x": 1.0}
    filled.labels.put(one(0.0), "ben")
    assert of(filled) == {}
    assert not {row.name for row in filled.labels.summaries()}
    filled.labels.put(one(0.0), "cleo")
    assert of(filled) == {"x": 0.0}
    filled.labels.put(one(None), "cleo")
    assert of(filled) == {}
    said = [(row.reader, row.value, row.current) for row in filled.reader_labels.of_study("2.25.1")]
    assert said == [("ann", 1.0, True), ("ben", 0.0, True), ("cleo", 0.0, False), ("cleo", None, False)]
    assert filled.reader_labels.readers() == ["ann", "ben", "cleo"]


def test_a_reader_replaces_what_nobody_is_named_for_and_undoing_brings_it_back(filled: CaseIndex) -> None:
    filled.labels.put(one(1.0))
    filled.labels.put(one(0.0), "ann")
    assert of(filled) == {"x": 0.0}
    filled.labels.put(one(0.0), "ben")
    filled.labels.put(one(1.0))  # the files of the case are ingested again
    assert of(filled) == {"x": 0.0}
    undone = filled.labels.undo("ben")
    assert undone == UndoneLabels(("2.25.1",), ("x",), 1)
    assert filled.labels.undo("ben") is None
    assert of(filled) == {"x": 0.0}
    filled.labels.undo("ann")
    assert of(filled) == {"x": 1.0}
    [kept] = [row for row in filled.reader_labels.of_study("2.25.1") if row.current]
    assert (kept.reader, kept.given_at, kept.value) == (None, None, 1.0)


def test_undoing_goes_back_action_by_action(filled: CaseIndex) -> None:
    filled.labels.put([*one(1.0), *one(1.0, uid="2.25.2"), *one(0.0, name="y")], "ann")
    filled.labels.put(one(0.0), "ann")
    filled.labels.put(one(0.0), "ann")  # says nothing new
    assert filled.labels.undo("ann") is not None
    assert of(filled) == {"x": 1.0, "y": 0.0}
    filled.labels.put(one(None), "ann")
    assert of(filled) == {"y": 0.0}
    filled.labels.undo("ann")
    assert of(filled) == {"x": 1.0, "y": 0.0}
    undone = filled.labels.undo("ann")
    assert undone == UndoneLabels(("2.25.1", "2.25.2"), ("x", "y"), 2)
    assert (of(filled), of(filled, "2.25.2")) == ({}, {})
    assert filled.labels.undo("ann") is None
    assert filled.reader_labels.of_study("2.25.1") == []
    filled.labels.put(one(0.0), "ann")
    assert of(filled) == {"x": 0.0}


def test_a_class_is_undone_to_the_class_before(filled: CaseIndex) -> None:
    filled.labels.put(a_class("naevus", "melanoma"), "ann")
    filled.labels.put(a_class("melanoma", "naevus"), "ann")
    assert of(filled) == {"melanoma": 1.0}
    filled.labels.undo("ann")
    assert of(filled) == {"naevus": 1.0}
    table = filled.table("study", among=["2.25.1"])
    assert table.classes == (frozenset({"naevus"}),)


def test_readings_hold_each_reader_s_last_word_with_denied_classes(filled: CaseIndex) -> None:
    filled.labels.put(one(1.0), "ann")
    filled.labels.put(one(0.0), "ann")
    filled.labels.put(one(0.25), "ben")
    filled.labels.put(one(1.0, uid="2.25.2"), "ben")
    filled.labels.undo("ben")
    filled.labels.put([LabelRecord("x", 1.0, "path", "/data/3/0/1.dcm")], "cleo")
    found = [(one.study_instance_uid, one.patient_key, one.reader, one.positive) for one in readings(filled)]
    assert sorted(found) == [
        ("2.25.1", "p1", "ann", False),
        ("2.25.1", "p1", "ben", True),
        ("2.25.3", "p1", "cleo", True),
    ]
    filled.labels.put(a_class("naevus", "melanoma"), "ann")
    filled.labels.put(a_class("melanoma", "naevus"), "ben")
    filled.labels.put(a_class("naevus", "melanoma", uid="2.25.2"), "ben")
    both = [(one.study_instance_uid, one.reader, one.positive) for one in readings(filled, "melanoma")]
    # Each file held one class, so that the column of the second is another than that of the first.
    assert ("2.25.1", "ben", True) in both
    assert all(positive == (reader == "ben" and uid == "2.25.1") for uid, reader, positive in both)


def readings(index: CaseIndex, name: str = "x") -> list[Reading]:
    return index.reader_labels.readings(name)


def test_what_is_forgotten_leaves_nothing_of_its_readers(filled: CaseIndex, catalogue: Catalogue) -> None:
    everywhere = [
        LabelRecord("secret-finding", 1.0, "study_instance_uid", "2.25.1"),
        LabelRecord("secret-finding", 1.0, "series_instance_uid", "2.25.1.0"),
        LabelRecord("secret-finding", 1.0, "path", "/data/1/0/0.dcm"),
    ]
    filled.labels.put(everywhere, "ann")
    filled.labels.put(one(1.0, "other", "2.25.2"), "ann")
    filled.labels.undo("ann")
    filled.remove_study("2.25.1")
    assert [one.name for one in filled.reader_labels.of_study("2.25.2")] == []
    filled.clean_up()
    assert b"secret-finding" not in catalogue.content(filled.home)
    # Only the other study's label was left to undo, and it was undone before.
    assert filled.labels.undo("ann") is None


def test_candidates_are_the_studies_that_pass(filled: CaseIndex) -> None:
    filled.labels.put(one(1.0), "ann")
    assert [one.study_instance_uid for one in filled.reader_labels.candidates(["label:x=1"])] == ["2.25.1"]
    assert [one.patient_key for one in filled.reader_labels.candidates([])] == ["p0", "p1", "p0", "p1"]


@pytest.mark.long(every=2)
def test_the_same_as_one_reader_alone(make_archive: Callable[[str], Archive]) -> None:
    """One reader's labels and nobody's end alike, over random steps at all levels."""
    keys: list[tuple[LabelKey, str]] = [
        ("study_instance_uid", "2.25.1"),
        ("series_instance_uid", "2.25.1.0"),
        ("sop_instance_uid", "2.25.1.0.0"),
        ("path", "/data/1/0/0.dcm"),
    ]
    ended = []
    for reader in ("", "ann"):
        rng = np.random.default_rng(3)
        with make_archive(f"of {reader}").open() as index:
            index.activate(SPACE)
            index.add([make_bundle(1, 2)], unit_vectors(2))
            for _ in range(40):
                kind, key = keys[rng.integers(4)]
                name = ("x", "y", "z")[rng.integers(3)]
                is_class = bool(rng.integers(2))
                value = 1.0 if is_class else (None, 0.0, 1.0)[rng.integers(3)]
                index.labels.put(
                    [LabelRecord(name, value, kind, key, is_class, "c" if is_class else None)], reader
                )
            table = index.table("image")
            ended.append(({k: v.tolist() for k, v in table.labels.items()}, table.classes, of(index)))
    assert str(ended[0]) == str(ended[1])
