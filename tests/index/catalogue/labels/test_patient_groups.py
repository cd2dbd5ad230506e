"""Patients that share a picture, directly or by a third, are one group; contradicting labels are found."""

from __future__ import annotations

from dataclasses import replace

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelConflict, LabelRecord
from medsiglip.index.records import SeriesBundle
from tests.index.index_cases import make_bundle, unit_vectors


def with_pixels(study: int, *pixels: str) -> SeriesBundle:
    """A study of its own patient with one image of each of these pixels."""
    made = make_bundle(study, len(pixels))
    return replace(
        made,
        instances=tuple(replace(one, pixel_hash=h) for one, h in zip(made.instances, pixels, strict=True)),
        images=tuple(replace(one, pixel_hash=h) for one, h in zip(made.images, pixels, strict=True)),
        files=tuple(replace(one, pixel_hash=h) for one, h in zip(made.files, pixels, strict=True)),
    )


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
    assert (groups.sharing, groups.shared) == (2, 1)
    assert groups.same_pixels == ()
    whole = index.instances.patient_groups(index.table("image"))
    assert sorted(whole.same_pixels) == [(0, 4), (2, 3)]


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
