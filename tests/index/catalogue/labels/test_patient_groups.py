"""Patients that share a picture, directly or by a third, are one group; contradicting labels are found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.labels import label_conflicts
from medsiglip.index.label_records import LabelConflict, LabelRecord
from medsiglip.index.records import SeriesBundle
from tests.index.index_cases import make_bundle, unit_vectors


def with_pixels(study: int, *pixels: str) -> SeriesBundle:
    """A study of its own patient with one image of each of these pixels, nearly blank if they say so."""
    made = make_bundle(study, len(pixels), pixels=pixels)
    images = (replace(one, quality={"near_blank": int("blank" in one.pixel_hash)}) for one in made.images)
    return replace(made, images=tuple(images))


def test_groups_are_connected_through_patients_that_the_table_leaves_out(index: CaseIndex) -> None:
    bundles = [
        with_pixels(1, "d"),
        with_pixels(2, "e", "f"),
        with_pixels(3, "f", "d"),  # the same as one picture of each of the first two
        with_pixels(4, "a"),
    ]
    index.add(bundles, unit_vectors(6))
    table = index.table("study", among=["2.25.1", "2.25.2", "2.25.4"])
    groups = index.instances.patient_groups(table)
    assert groups.names == ("d", "d", "a")
    assert (groups.sharing, groups.shared, groups.largest) == (2, 1, 2)
    assert groups.same_pixels == ()
    whole = index.instances.patient_groups(index.table("image"))
    assert sorted(whole.same_pixels) == [(0, 4), (2, 3)]


def test_nearly_blank_pictures_join_nobody(index: CaseIndex) -> None:
    """Their pixel hash is smaller than all others, and names no group either."""
    bundles = [
        *(with_pixels(study, "0-blank", f"a{study}") for study in range(1, 4)),
        with_pixels(4, "0-blank", "a1"),
        with_pixels(5, "0-blank"),
        with_pixels(6, "0-blank"),
        with_pixels(7, "1-blank-of-its-own"),
    ]
    index.add(bundles, unit_vectors(sum(len(bundle.images) for bundle in bundles)))
    groups = index.instances.patient_groups(index.table("study"))
    assert groups.names == ("a1", "a2", "a3", "a1", "patient-5", "patient-6", "1-blank-of-its-own")
    assert (groups.sharing, groups.shared, groups.largest) == (2, 1, 2)
    assert groups.same_pixels == ((0, 3),)


def test_a_picture_that_one_rendering_shows_is_not_blank(index: CaseIndex) -> None:
    pair = [with_pixels(study, "blank") for study in (1, 2)]
    shown = replace(pair[0].images[0], rendering="window:lung", quality={"near_blank": 0})
    index.add([replace(pair[0], images=(*pair[0].images, shown)), pair[1]], unit_vectors(3))
    assert index.instances.patient_groups(index.table("study")).names == ("blank", "blank")


def test_contradicting_labels_of_identical_pictures_are_found(index: CaseIndex) -> None:
    index.add([with_pixels(1, "a"), with_pixels(2, "a"), with_pixels(3, "b")], unit_vectors(3))

    def put(study: int, name: str, value: float, column: str | None = None) -> tuple[LabelConflict, ...]:
        uid = f"2.25.{study}"
        record = LabelRecord(name, value, "study_instance_uid", uid, column is not None, column)
        return index.labels.put([record]).conflicts

    assert put(1, "x", 1.0) == put(3, "x", 0.0) == ()
    assert put(2, "x", 0.0) == (LabelConflict(("x",), 1),)
    assert put(2, "x", 1.0) == ()
    assert put(1, "benign", 1.0, "column") == put(2, "normal", 1.0, "other") == ()
    assert put(2, "malignant", 1.0, "column") == (LabelConflict(("benign", "malignant"), 1),)
    assert put(2, "benign", 1.0, "column") == ()


def test_labels_of_nearly_blank_pictures_do_not_contradict_each_other(index: CaseIndex) -> None:
    index.add([with_pixels(1, "blank", "a"), with_pixels(2, "blank", "a")], unit_vectors(4))
    by_study = [LabelRecord("x", float(study), "study_instance_uid", f"2.25.{study}") for study in (1, 2)]
    removed = replace(by_study[0], value=0.0)
    assert index.labels.put([removed, by_study[1]]).conflicts == (LabelConflict(("x",), 1),)


def test_only_repeated_pictures_are_read_again_and_after_the_lock(index: CaseIndex) -> None:
    index.add([with_pixels(1, "a"), with_pixels(2, "a"), with_pixels(3, "b")], unit_vectors(3))
    read: list[str] = []
    original = label_conflicts._labels_of_instances

    def kept(connection: Connection, hashes: list[str]) -> Any:
        read.extend(hashes)
        with index._database.write():
            return original(connection, hashes)

    with patch.object(label_conflicts, "_labels_of_instances", kept):
        records = [LabelRecord("x", float(s), "study_instance_uid", f"2.25.{s}") for s in (1, 2, 3)]
        assert index.labels.put(records).conflicts == ()
    assert read == ["a"]
