from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import FileRecord, ProbeRecord, SeriesBundle, Space
from tests.index.conftest import Catalogue
from tests.index.index_cases import DIMENSION, SPACE, images_of_file, make_bundle, unit_vectors
from tests.index.sent_statements import sent_statements


def counts(index: CaseIndex) -> tuple[int, ...]:
    info = index.info()
    return info.studies, info.series, info.instances, info.images, info.vectors, info.faiss.ntotal


def test_a_new_home_is_empty_and_for_its_owner_only(home: Path, catalogue: Catalogue) -> None:
    with catalogue.open(home) as index:
        assert index.space is None
        assert counts(index) == (0, 0, 0, 0, 0, 0)
        assert index.files.by_path() == {}
        assert index.studies() == []
        assert index.verify().ok
        for ask in (
            lambda: index.search(unit_vectors(1)),
            lambda: index.add([], unit_vectors(0)),
            index.table,
        ):
            with pytest.raises(CatalogError, match="ingest") as caught:
                ask()
            assert caught.value.code == "no-space"
    assert home.stat().st_mode & 0o77 == 0


def test_counts_read_no_rendering_of_an_image(index: CaseIndex) -> None:
    """They are asked for at each scrape of the metrics."""
    index.add([make_bundle(1, 2)], unit_vectors(2))
    with sent_statements() as sent:
        assert index.info().images == 2
    assert [one for one in sent if "rendering" in one] == []
    with sent_statements() as sent:
        (counted,) = index.instances.rendering_counts()
    assert (counted.rendering, counted.images) == ("voi", 2)
    assert [one for one in sent if "rendering" in one]


def test_a_file_in_place_of_a_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(CatalogError, match="is a file") as caught:
        CaseIndex.open(tmp_path / "home")
    assert caught.value.code == "bad-home"


def test_a_catalogue_is_for_its_owner_only_in_an_open_folder_too(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    before = os.umask(0o022)
    try:
        with CaseIndex.open(home) as index:
            index.activate(SPACE)
            made = [home / f"catalog.db{ending}" for ending in ("", "-wal", "-shm")]
            assert [path.stat().st_mode & 0o777 for path in made] == [0o600] * 3
    finally:
        os.umask(before)
    assert home.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("there", ["nothing", "folder", "other files", "empty catalogue"])
def test_an_archive_is_only_made_where_one_is_wanted(home: Path, there: str) -> None:
    if there != "nothing":
        home.mkdir()
    if there == "other files":
        (home / "notes.txt").write_text("mine")
    if there == "empty catalogue":
        (home / "catalog.db").touch()
    before = sorted(home.parent.rglob("*"))
    with pytest.raises(CatalogError, match="ingest") as caught:
        CaseIndex.open(home, create=False)
    assert caught.value.code == "no-archive"
    assert str(home) in str(caught.value)
    assert sorted(home.parent.rglob("*")) == before
    CaseIndex.open(home).close()
    with CaseIndex.open(home, create=False) as index:
        assert index.space is None


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    for place in (tmp_path / "file" / "home", *(proc / "home" for proc in [Path("/proc")] if proc.is_dir())):
        with pytest.raises(CatalogError, match="cannot be made") as caught:
            CaseIndex.open(place)
        assert caught.value.code == "bad-home"
        assert str(place) in str(caught.value)


def test_what_is_added_comes_back_whole(index: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    study = {
        "patient_sex": "F",
        "patient_age": 61.5,
        "study_date": "2021-07-09",
        "study_description": "Thorax",
    }
    series = {"modality": "CT", "orientation": "axial", "manufacturer": "Acme", "body_part_examined": "CHEST"}
    image = {
        "rendering": "ct-rgb-3window",
        "rendering_params": {"windows": ((1, 2), (3, 4)), "slope": np.float32(2)},
        "warnings": ("window-ignored",),
        "quality": {"sharpness": 0.5, "burned_in": False, "nan": float("nan")},
    }
    bundle = make_bundle(7, 3, study_fields=study, series_fields=series, image_fields=image)
    ids = index.add([bundle], unit_vectors(3))
    detail = index.study("2.25.7")
    assert detail.study == bundle.study
    assert [(one.series, one.instances, one.images) for one in detail.series] == [(bundle.series, 3, 3)]
    assert [one.image_id for one in detail.images] == ids
    stored = index.get(ids[1])
    assert stored == index.find_image("2.25.7.0.1")[0] == images_of_file(index, "/data/7/0/1.dcm")[0]
    assert (stored.slice_index, stored.frame, stored.path) == (1, 1, "/data/7/0/1.dcm")
    assert stored.rendering_params == {"windows": [[1, 2], [3, 4]], "slope": 2.0}
    assert stored.warnings == ("window-ignored",)
    assert stored.quality == {"sharpness": 0.5, "burned_in": False, "nan": None}
    assert index.files.by_path() == {file.path: file for file in bundle.files}
    assert index.files.of_series("2.25.7.0") == list(bundle.files)
    assert index.instances.pixel_hashes(["2.25.7.0.2"])["2.25.7.0.2"] == {"a-7-0-2"}
    assert index.instances.pixel_hashes(["2.25.7"]) == {}
    uids = [f"2.25.7.0.{i}" for i in range(3)]
    assert index.instances.pixel_hashes([*uids, "2.25.99"]) == {
        uid: {f"a-7-0-{i}"} for i, uid in enumerate(uids)
    }
    [summary] = index.studies()
    assert (summary.modalities, summary.series, summary.images) == (("CT",), 1, 3)
    assert np.abs(index.vectors(ids[::-1]) - unit_vectors(3)[::-1]).max() < 5e-4
    before = counts(index)
    index.close()
    with catalogue.open(home) as again:
        assert counts(again) == before == (1, 1, 3, 3, 3, 3)
        assert again.space == SPACE
        assert again.space.model == "tiny"


def test_images_come_in_anatomical_order(index: CaseIndex) -> None:
    bundle = make_bundle(1, 4)
    places = [3, 1, 0, 2]
    images = tuple(
        replace(image, slice_index=place) for image, place in zip(bundle.images, places, strict=True)
    )
    index.add([replace(bundle, images=images)], unit_vectors(4))
    assert [one.slice_index for one in index.images_of("2.25.1")] == [0, 1, 2, 3]


def test_the_same_again_changes_nothing_and_gives_the_same_ids(index: CaseIndex) -> None:
    ids = index.add([make_bundle(1), make_bundle(2)], unit_vectors(4))
    before = index.vectors(ids).copy()
    assert index.add([make_bundle(2), make_bundle(1)], unit_vectors(4, 9)) == ids[2:] + ids[:2]
    assert counts(index) == (2, 2, 4, 4, 4, 4)
    assert np.array_equal(index.vectors(ids), before)
    twice = index.add([make_bundle(3, 1), make_bundle(3, 1)], unit_vectors(2))
    assert twice[0] == twice[1]
    assert counts(index)[3] == 5


def test_one_instance_may_have_several_frames_and_renderings(index: CaseIndex) -> None:
    bundle = make_bundle(1, 1)
    [image] = bundle.images
    images = (image, replace(image, frame=2), replace(image, rendering="other"))
    ids = index.add([replace(bundle, images=images)], unit_vectors(3))
    assert len(set(ids)) == 3
    assert [(one.frame, one.rendering) for one in index.find_image(image.sop_instance_uid)] == [
        (1, "voi"),
        (1, "other"),
        (2, "voi"),
    ]


def test_the_same_uid_with_other_pixels_is_kept_beside(index: CaseIndex) -> None:
    first = index.add([make_bundle(1, 1)], unit_vectors(1, 1))
    second = index.add([make_bundle(1, 1, pixels="b")], unit_vectors(1, 2))
    assert counts(index) == (1, 1, 2, 2, 2, 2)
    assert index.instances.pixel_hashes(["2.25.1.0.0"])["2.25.1.0.0"] == {"a-1-0-0", "b-1-0-0"}
    assert [one.image_id for one in index.find_image("2.25.1.0.0", "a-1-0-0")] == first
    assert [one.image_id for one in index.find_image("2.25.1.0.0", "b-1-0-0")] == second


def test_a_replaced_series_holds_only_the_new(index: CaseIndex, home: Path) -> None:
    index.add([make_bundle(1, 3), make_bundle(1, 1, series=1), make_bundle(2, 1)], unit_vectors(5, 1))
    old = [one.image_id for one in index.images_of("2.25.1")]
    new = index.add([make_bundle(1, 2, pixels="b", replace_series=True)], unit_vectors(2, 2))
    assert counts(index) == (2, 3, 4, 4, 4, 4)
    assert not set(new) & set(old)
    assert {one.pixel_hash for one in index.images_of("2.25.1")} == {"b-1-0-0", "b-1-0-1", "a-1-1-0"}
    assert "/data/1/0/2.dcm" not in index.files.by_path()
    assert index.verify().problems == ()
    named = {path.stem for path in (home / "vectors" / SPACE.name).iterdir()}
    assert len(named) == index.info().shards


def test_a_series_that_two_processes_replace_loses_no_instance(index: CaseIndex) -> None:
    """Both read instances 0 and 1; one adds 2, and the other, which never saw it, adds 3."""
    whole = make_bundle(1, 4, replace_series=True)
    identities = [(one.sop_instance_uid, one.pixel_hash) for one in whole.instances]

    def holding(*numbers: int) -> SeriesBundle:
        return replace(
            whole,
            instances=tuple(whole.instances[i] for i in numbers),
            images=tuple(whole.images[i] for i in numbers),
            files=tuple(whole.files[i] for i in numbers),
            replaced=frozenset(identities[:2]),
        )

    index.add([make_bundle(1, 2)], unit_vectors(2, 1))
    index.add([holding(0, 1, 2)], unit_vectors(3, 2))
    index.add([holding(0, 1, 3)], unit_vectors(3, 3))
    assert [(one.sop_instance_uid, one.pixel_hash) for one in index.images_of("2.25.1")] == identities
    assert np.allclose(
        index.vectors([one.image_id for one in index.images_of("2.25.1")]),
        np.stack([*unit_vectors(3, 3)[:2], unit_vectors(3, 2)[2], unit_vectors(3, 3)[2]]),
        atol=1e-3,
    )
    assert index.verify().problems == ()
    assert {"/data/1/0/2.dcm", "/data/1/0/3.dcm"} <= set(index.files.by_path())


def test_instances_without_images_are_held(index: CaseIndex) -> None:
    bundle = make_bundle(1, 4)
    index.add([replace(bundle, images=bundle.images[:1])], unit_vectors(1))
    assert counts(index) == (1, 1, 4, 1, 1, 1)
    assert len(index.instances.pixel_hashes([one.sop_instance_uid for one in bundle.instances])) == 4
    index.add([replace(make_bundle(2, 2), images=())], np.empty((0, DIMENSION), np.float32))
    assert counts(index) == (2, 2, 6, 1, 1, 1)


@pytest.mark.parametrize(
    "vectors",
    [
        unit_vectors(1),
        unit_vectors(2, dimension=DIMENSION + 1),
        unit_vectors(2) * 1.01,
        np.zeros((2, DIMENSION)),
        np.full((2, DIMENSION), np.nan),
    ],
)
def test_vectors_that_do_not_fit_are_refused_whole(index: CaseIndex, vectors: np.ndarray) -> None:
    with pytest.raises(CatalogError) as caught:
        index.add([make_bundle(1, 2)], vectors)
    assert caught.value.code == "bad-vectors"
    assert counts(index) == (0, 0, 0, 0, 0, 0)


OTHERS = {
    "model": (Space("0123" * 16, "medsiglip-eval", DIMENSION, "google/medsiglip-448"), "--model tiny"),
    "profile": (Space(SPACE.checkpoint_hash, "hf-processor", DIMENSION, "tiny"), "profile medsiglip-eval"),
    "changed": (Space("0123" * 16, "medsiglip-eval", DIMENSION, "tiny"), SPACE.checkpoint_hash[:12]),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_model_is_refused_with_the_way_to_go_on(
    index: CaseIndex, home: Path, other: str, catalogue: Catalogue
) -> None:
    space, way = OTHERS[other]
    index.activate(replace(SPACE, model="the same under another name"))
    for opened in (index, catalogue.open(home)):
        with pytest.raises(CatalogError) as caught:
            opened.activate(space)
        assert caught.value.code == "space-mismatch"
        for part in (way, f"`index reembed --to {space.model}`", "tiny"):
            assert part in str(caught.value)
        opened.close()


def test_one_home_has_one_secret_key(index: CaseIndex) -> None:
    index.bind_key("fingerprint")
    index.bind_key("fingerprint")
    with pytest.raises(CatalogError, match="secret") as caught:
        index.bind_key("another")
    assert caught.value.code == "key-mismatch"


def test_files_are_noted_by_path_and_the_latest_word_counts(index: CaseIndex) -> None:
    odd = os.fsdecode(b"/data/caf\xe9 \xff.dcm")
    first = FileRecord(odd, 5, 6, None, "quarantined", "truncated", "It ends early.")
    index.files.put([first, FileRecord("/b", 1, 2, outcome="skipped", code="not-dicom")])
    assert index.files.by_path()[odd] == first
    second = replace(first, outcome="skipped", mtime_ns=7, reason="now \0 \udc80 odd")
    index.files.put([replace(first, mtime_ns=1), second])
    assert index.files.by_path()[odd].mtime_ns == 7
    assert list(index.files.by_path()) == ["/b", odd]
    assert index.info().files == {"skipped": 2}


def test_files_of_instances_already_held_lead_to_them(index: CaseIndex) -> None:
    bundle = make_bundle(1, 1)
    [image_id] = index.add([bundle], unit_vectors(1))
    index.files.put([replace(bundle.files[0], path="/a/copy.dcm")])
    assert index.get(image_id).path == "/a/copy.dcm"
    assert [one.image_id for one in images_of_file(index, "/data/1/0/0.dcm")] == [image_id]
    assert [file.path for file in index.files.of_series("2.25.1.0")] == ["/a/copy.dcm", "/data/1/0/0.dcm"]


def test_what_is_not_there_is_named(index: CaseIndex) -> None:
    questions: list[tuple[Callable[[], object], str]] = [
        (lambda: index.study("1.2.3"), "unknown-study"),
        (lambda: index.images_of("1.2.3"), "unknown-study"),
        (lambda: index.get(77), "unknown-image"),
        (lambda: index.vectors([77]), "unknown-image"),
        (lambda: index.remove_study("1.2.3"), "unknown-study"),
        (lambda: index.remove_patient("nobody"), "unknown-patient"),
    ]
    for ask, code in questions:
        with pytest.raises(CatalogError) as caught:
            ask()
        assert caught.value.code == code
    assert index.find_image("1.2.3") == []
    assert images_of_file(index, "/nowhere") == []


def test_a_table_is_aligned(index: CaseIndex) -> None:
    bundles = [make_bundle(1, 2, patient="p"), make_bundle(1, 1, series=1, patient="p"), make_bundle(2, 1)]
    vectors = np.eye(DIMENSION, dtype=np.float32)[:4]
    ids = index.add(bundles, vectors)
    index.labels.put([LabelRecord("x", 1, "study_instance_uid", "2.25.2")])
    images = index.table("image")
    assert images.image_ids.tolist() == ids
    assert images.ids == tuple(map(str, ids))
    assert np.array_equal(images.vectors, vectors)
    assert images.patient_keys == ("p", "p", "p", "patient-2")
    assert images.paths[3] == "/data/2/0/0.dcm"
    studies = index.table("study")
    assert (studies.ids, studies.study_instance_uids) == (("2.25.1", "2.25.2"),) * 2
    assert np.allclose(studies.vectors, [vectors[:3].sum(axis=0) / 3**0.5, vectors[3]], atol=1e-7)
    assert np.array_equal(studies.labels["x"], [np.nan, 1], equal_nan=True)
    assert index.table("series", ["study_instance_uid=2.25.1"]).ids == ("2.25.1.0", "2.25.1.1")
    empty = index.table("study", ["modality=US"])
    assert (empty.ids, empty.vectors.shape, empty.labels) == ((), (0, DIMENSION), {})


def test_probes_are_on_record(index: CaseIndex) -> None:
    first = ProbeRecord("nodule", SPACE.name, "probes/nodule.npz", {"auroc": 0.5})
    second = replace(first, file="probes/nodule2.npz", summary={"auroc": 0.75})
    assert (index.probes.put(first), index.probes.put(second)) == (1, 2)
    kept = [replace(second, version=2), replace(first, version=1)]
    assert index.probes.listed() == kept[:1]
    assert index.probes.listed(all_versions=True) == kept
    assert (index.probes.find("nodule"), index.probes.find("nodule", 1)) == (kept[0], kept[1])
    assert index.probes.find("nodule", 3) is None
    assert (index.probes.remove("nodule", 2), index.probes.listed()) == (1, kept[1:])
    assert (index.probes.put(second), index.probes.remove("nodule"), index.probes.listed()) == (2, 2, [])
    with pytest.raises(CatalogError, match="foreign"):
        index.probes.put(replace(first, space="foreign"))


def test_vectors_can_be_stored_in_full(home: Path, catalogue: Catalogue) -> None:
    with catalogue.open(home, vector_dtype="float32") as index:
        index.activate(SPACE)
        ids = index.add([make_bundle(1, 2)], unit_vectors(2))
        assert np.abs(index.vectors(ids) - unit_vectors(2)).max() < 1e-7
