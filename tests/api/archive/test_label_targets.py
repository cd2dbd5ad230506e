"""A blank is unknown; a negative is a stored 0, or another class of the same class column."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from medsiglip.api.archive.evaluating.probe import evaluate_probe
from medsiglip.api.archive.evaluating.retrieval import evaluate_retrieval
from medsiglip.api.archive.label_targets import label_targets
from medsiglip.api.archive.labels import read_labels
from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.archive.probes.plan import ProbePlan
from medsiglip.api.archive.probes.training import train_probe
from medsiglip.api.errors import ServiceError
from medsiglip.errors import ModelError
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import CaseTable, SeriesBundle
from tests.api.conftest import Home, Phantoms, run
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

Kind = tuple[str | None, str | None]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Callable[..., OpenedArchive]]:
    """Makes an archive of one image for each study, of these modalities and body parts."""
    opened: list[CaseIndex] = []

    def make(kinds: Sequence[Kind], *, key: bytes | None = None, same: Sequence[tuple[int, int]] = ()) -> Any:
        index = CaseIndex.open(tmp_path / f"home-{len(opened)}")
        opened.append(index)
        index.activate(SPACE)
        pixels = dict(same)
        bundles = [bundle(study, kind, key, pixels.get(study, study)) for study, kind in enumerate(kinds)]
        index.add(bundles, unit_vectors(len(kinds)))
        return SimpleNamespace(
            index=index, home=index.home, searchable_space=SPACE, space=SPACE, stored_space=SPACE
        )

    yield make
    for index in opened:
        index.close()


def bundle(study: int, kind: Kind, key: bytes | None, pixels: int) -> SeriesBundle:
    patient = f"patient-{study}"
    if key is not None:
        patient = hmac.new(key, patient.encode(), "sha256").hexdigest()[:32]
    fields = {"modality": kind[0], "body_part_examined": kind[1]}
    return make_bundle(study, 1, patient=patient, pixels=[f"{pixels:032x}"], series_fields=fields)


def import_csv(archive: OpenedArchive, path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines))
    archive.index.labels.put(read_labels(path).records)


def targets(archive: OpenedArchive, label: str) -> list[float | None]:
    values = label_targets(archive.index.table("study"), label).values.tolist()
    return [None if np.isnan(value) else value for value in values]


def uid(study: int) -> str:
    return f"2.25.{study}"


def test_a_blank_is_unknown_where_another_column_is_complete(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    made = archive([("CR", "CHEST")] * 60)
    rows = [f"{uid(study)},{1 if study < 10 else ''},{study % 2}" for study in range(60)]
    csv = tmp_path / "labels.csv"
    csv.write_text("\n".join(["study_instance_uid,label:rare,label:complete", *rows]))
    trained = train_probe(made, "both", labels_csv=csv, level="study")
    assert [(one.label, one.n, one.unknown) for one in trained.labels] == [("complete", 60, 0)]
    assert "'rare' is positive in all 10 rows where it is known" in trained.warnings[0]
    with pytest.raises(ModelError, match="positive in all 10 rows") as caught:
        train_probe(made, "rare", labels=["rare"], level="study")
    assert caught.value.code == "one-class"
    assert label_targets(made.index.table("study"), "rare").unknown == 50
    figures = evaluate_retrieval(made, labels=["rare"], level="study")
    # Ten cases that all have the label: no neighbour is known not to have it, and none can be ranked wrong.
    for one in (figures, figures.labels[0]):
        assert (one.unknown, one.queries) == (50, 0)
        assert (one.precision_at["1"], one.map, one.chance, one.ci["map"]) == (None,) * 3 + ((None, None),)
        assert one.reason == "no case of another patient is known to carry none of a query's labels"


@pytest.mark.parametrize(("carriers", "are_few"), [(9, True), (10, False)])
def test_labels_of_few_patients_are_named_beside_figures_of_retrieval(
    archive: Callable[..., OpenedArchive], tmp_path: Path, carriers: int, are_few: bool
) -> None:
    made = archive([(None, None)] * 20)
    rows = [f"{uid(study)},{'rare' if study < carriers else 'usual'}" for study in range(20)]
    import_csv(made, tmp_path / "labels.csv", "study_instance_uid,label", *rows)
    found = evaluate_retrieval(made, level="study")
    assert [("fewer than 10 patients carry rare:" in one) for one in found.warnings] == [True] * are_few
    assert [name for name, (low, _) in found.ci.items() if low is None] == (
        ["recall_at_1", "recall_at_5", "recall_at_10"] if are_few else []
    )
    assert found.labels[0].ci["recall_at_5"][0] is not None


def test_a_case_of_another_class_column_is_no_negative(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    made = archive([(None, None)] * 7)
    chest = [f"{uid(0)},pneumonia", f"{uid(1)},normal", f"{uid(2)},normal"]
    import_csv(made, tmp_path / "chest.csv", "study_instance_uid,label", *chest)
    breast = [f"{uid(3)},benign", f"{uid(4)},malignant", f"{uid(5)},normal"]
    import_csv(made, tmp_path / "breast.csv", "study_instance_uid,label", *breast)
    assert targets(made, "pneumonia") == [1, 0, 0, None, None, None, None]
    assert targets(made, "benign") == [None, None, None, 1, 0, 0, None]
    assert targets(made, "normal") == [0, 1, 1, 0, 0, 1, None]


def test_files_with_the_same_classes_are_one_column(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    made = archive([(None, None)] * 4)
    for name, first in (("train.csv", 0), ("test.csv", 2)):
        rows = [f"{uid(first)},sick", f"{uid(first + 1)},well"]
        import_csv(made, tmp_path / name, "study_instance_uid,label", *rows)
    assert targets(made, "sick") == [1, 0, 1, 0]
    # Of a case whose class is not asked in the later file, the class of the earlier one is gone.
    import_csv(made, tmp_path / "other.csv", "study_instance_uid,label", f"{uid(1)},tall")
    assert targets(made, "sick") == [1, None, 1, 0]


def test_a_negative_is_of_a_kind_that_the_class_occurs_in(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    kinds: list[Kind] = [
        *[("CR", "CHEST"), ("CR", "chest"), ("CR", None), (None, None)],
        *[("CR", "HAND"), ("MR", "BRAIN"), ("OP", None)],
    ]
    made = archive(kinds)
    classes = ["pneumonia", "normal", "normal", "normal", "fracture", "tumour", "glaucoma"]
    rows = [f"{uid(study)},{name}" for study, name in enumerate(classes)]
    import_csv(made, tmp_path / "all.csv", "study_instance_uid,label", *rows)
    assert targets(made, "pneumonia") == [1, 0, 0, 0, None, None, None]
    assert label_targets(made.index.table("study"), "pneumonia").warnings == ()


def test_classes_that_are_kinds_themselves_are_told_apart_with_a_warning(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    made = archive([("CT", "CHEST"), ("MR", "BRAIN"), ("OP", "EYE")])
    rows = [f"{uid(study)},class-{study}" for study in range(3)]
    import_csv(made, tmp_path / "all.csv", "study_instance_uid,label", *rows)
    assert targets(made, "class-0") == [1, 0, 0]
    [warning] = label_targets(made.index.table("study"), "class-0").warnings
    assert "another modality or body part" in warning


def test_a_stored_0_is_a_negative_of_any_kind(archive: Callable[..., OpenedArchive]) -> None:
    made = archive([("CT", None), ("MR", None), ("OP", None)])
    records = [LabelRecord("mass", value, "study_instance_uid", uid(value)) for value in (1, 0)]
    made.index.labels.put(records)
    assert targets(made, "mass") == [0, 1, None]


def test_a_small_file_corrects_rows_of_a_class_column(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    made = archive([(None, None)] * 4)
    rows = [f"{uid(study)},{name}" for study, name in enumerate(("benign", "malignant", "normal", "benign"))]
    import_csv(made, tmp_path / "all.csv", "study_instance_uid,label", *rows)
    import_csv(made, tmp_path / "correction.csv", "study_instance_uid,label", f"{uid(3)},malignant")
    assert targets(made, "malignant") == [0, 1, 0, 1]
    assert targets(made, "normal") == [0, 0, 1, 0]
    # The last of a class, too: it is known of the row that it is no longer so.
    import_csv(made, tmp_path / "second.csv", "study_instance_uid,label", f"{uid(0)},normal")
    assert targets(made, "malignant") == [0, 1, 0, 1]
    # Another column: a class that was not asked before, beside one that was.
    other = [f"{uid(2)},normal", f"{uid(1)},cyst"]
    import_csv(made, tmp_path / "other.csv", "study_instance_uid,label", *other)
    assert targets(made, "malignant") == [0, None, None, 1]


def test_classes_of_which_the_column_is_not_known_give_no_negatives(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    """As earlier versions stored them."""
    made = archive([(None, None)] * 2)
    for study, name in enumerate(("sick", "well")):
        record = LabelRecord(name, 1.0, "study_instance_uid", uid(study), is_class=True)
        made.index.labels.put([record])
    assert targets(made, "sick") == [1, None]
    with pytest.raises(
        ModelError, match=r"An earlier version stored 'sick' without .*: import their CSV"
    ) as caught:
        train_probe(made, "sick", labels=["sick"])
    assert caught.value.code == "one-class"
    rows = [f"{uid(study)},{name}" for study, name in enumerate(("sick", "well"))]
    import_csv(made, tmp_path / "again.csv", "study_instance_uid,label", *rows)
    known = label_targets(made.index.table("study"), "sick")
    assert (known.values.tolist(), known.columnless) == ([1, 0], False)


def test_given_labels_have_classes_as_stored_ones_do(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    made = archive([(None, None)] * 3)
    csv = tmp_path / "labels.csv"
    csv.write_text(f"sop_instance_uid,label\n{uid(0)}.0.0,sick\n{uid(1)}.0.0,well\n")
    records = read_labels(csv).records
    made.index.labels.put(records)
    for level in ("image", "series", "study"):
        stored = made.index.table(cast(Any, level))
        given = made.index.table(cast(Any, level), given_labels=records)
        assert stored.classes == given.classes == (frozenset({"sick", "well"}),) * 2 + (frozenset(),)


def test_the_metadata_of_an_ingest_names_a_class_column(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    names = ["sick", "well", "tall"]
    for study, name in enumerate(names):
        pixels = rng.integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{study}.png")
        (tmp_path / f"{name}.csv").touch()
    Image.open(tmp_path / "0.png").save(tmp_path / "copy.png")
    first = "path,label\n0.png,sick\ncopy.png,well\n1.png,well\n"
    (tmp_path / "sick.csv").write_text(first)
    home = tmp_path / "home"
    words = ("--home", home, "--json", "ingest", *sorted(tmp_path.glob("*.png")))
    report = run(*words, "--metadata", tmp_path / "sick.csv").json
    assert any("contradicting labels (sick and well)" in warning for warning in report["warnings"])
    imported = run("--home", home, "--json", "label", "import", tmp_path / "sick.csv").json
    assert [warning for warning in imported["warnings"] if "1 picture has contradicting labels" in warning]
    shown = run("--home", home, "label", "import", tmp_path / "sick.csv").out
    assert "warning: 1 picture has contradicting labels (sick and well)" in shown
    with CaseIndex.open(home) as index:
        table: CaseTable = index.table("image")
        assert sorted(len(classes) for classes in table.classes) == [0, 2, 2]


def test_folds_and_figures_do_not_depend_on_the_key_of_a_home(
    archive: Callable[..., OpenedArchive],
) -> None:
    found = []
    for key in (b"one", b"another"):
        made = archive([("CR", None)] * 40, key=key)
        value = [float(study % 3 == 0) for study in range(40)]
        made.index.labels.put(
            [LabelRecord("x", value[study], "study_instance_uid", uid(study)) for study in range(40)]
        )
        trained = train_probe(made, "x", labels=["x"])
        found.append((trained.labels, made.index.instances.patient_groups(made.index.table("image")).names))
    assert found[0] == found[1]


def test_patients_with_the_same_picture_share_a_fold_and_find_each_other_not(
    archive: Callable[..., OpenedArchive],
) -> None:
    """Coin flips as labels, each picture under two patients: nothing can be known of the twin."""
    twins = [(study, study - 40) for study in range(40, 80)]
    made = archive([("CR", None)] * 80, same=twins)
    vectors = made.index.table("image").vectors
    assert len(vectors) == 80
    rng = np.random.default_rng(3)
    coins = rng.integers(0, 2, 40)
    made.index.labels.put(
        [LabelRecord("coin", float(coins[s % 40]), "study_instance_uid", uid(s)) for s in range(80)]
    )
    trained = train_probe(made, "coin", labels=["coin"])
    assert trained.groups == 40
    assert "80 patients share identical pictures with another patient and count as 40" in trained.warnings[0]
    groups = made.index.instances.patient_groups(made.index.table("image"))
    assert groups.names[:40] == groups.names[40:]
    assert evaluate_retrieval(made, labels=["coin"]).warnings == trained.warnings


def test_patients_with_the_same_picture_may_not_be_in_two_parts(
    archive: Callable[..., OpenedArchive], tmp_path: Path
) -> None:
    made = archive([("CR", None)] * 40, same=[(31, 4)])
    parts = ["train"] * 20 + ["test"] * 20
    rows = [f"{uid(study)},{study % 2},{parts[study]}" for study in range(40)]
    path = tmp_path / "twins.csv"
    path.write_text("\n".join(["study_instance_uid,label:odd,part", *rows]))
    with pytest.raises(ServiceError, match="patients patient-31 and patient-4 share identical") as refused:
        train_probe(made, "twins", labels_csv=path, plan=ProbePlan(split="part"))
    assert refused.value.code == "patient-in-two-splits"
    rows[31] = f"{uid(31)},1,train"
    path.write_text("\n".join(["study_instance_uid,label:odd,part", *rows]))
    trained = train_probe(made, "twins", labels_csv=path, plan=ProbePlan(split="part"))
    assert trained.parts == {"training": 21, "validation": 0, "test": 19}


def test_a_twin_of_a_patient_that_a_probe_was_trained_on_is_not_unseen(
    archive: Callable[..., OpenedArchive],
) -> None:
    made = archive([("CR", None)] * 20 + [("DX", None)] * 20, same=[(20, 0), (21, 1)])
    made.index.labels.put([LabelRecord("x", float(s % 2), "study_instance_uid", uid(s)) for s in range(40)])
    train_probe(made, "x", labels=["x"], where=["modality=CR"])
    figures = evaluate_probe(made, "x", where=["modality=DX"])
    assert figures.labels[0].n == 18
    assert figures.patients_left_out == 2
    assert "4 patients" in evaluate_probe(made, "x").warnings[0]


def test_identical_pictures_with_contradicting_labels_are_named(
    archive: Callable[..., OpenedArchive],
) -> None:
    made = archive([("CR", None)] * 20, same=[(19, 0)])
    made.index.labels.put([LabelRecord("x", float(s % 2), "study_instance_uid", uid(s)) for s in range(20)])
    trained = train_probe(made, "x", labels=["x"])
    wanted = "1 pictures that occur more than once are both positive and negative for 'x'"
    assert any(wanted in warning for warning in trained.warnings)


def test_answers_of_commands_count_what_is_unknown(own_home: Home, phantoms: Phantoms) -> None:
    retrieval = own_home.run("evaluate", "retrieval", "--label", "melanoma", "--level", "study").json
    assert retrieval["unknown"] == len(phantoms.by_study) - 24
    assert retrieval["labels"][0]["unknown"] == len(phantoms.by_study) - 24
    trained = own_home.run("probe", "train", "moles", "--label", "melanoma", "--level", "study").json
    assert trained["labels"][0]["unknown"] == len(phantoms.by_study) - 24
    assert "unknown" in own_home.show("probe", "show", "moles").out
    zero_shot = own_home.run("evaluate", "zero-shot", "--prompts", "phantoms", "--label", "melanoma").json
    assert zero_shot["labels"][0]["n"] == 24
    assert zero_shot["warnings"] == []
