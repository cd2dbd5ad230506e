"""Training with each choice that can be made of it, by function, command line and client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from medsiglip.api.archive.evaluating.probe import evaluate_probe
from medsiglip.api.archive.labels import read_labels
from medsiglip.api.archive.probes.plan import ProbePlan
from medsiglip.api.archive.probes.predicting_all import predict_all
from medsiglip.api.archive.probes.registry import loaded_probe, stored_probe
from medsiglip.api.archive.probes.training import train_probe
from medsiglip.api.cli.presentation.figures import show_probe
from medsiglip.api.errors import ServiceError
from medsiglip.client.client import JobError
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from medsiglip.zero_shot.classifier import ZeroShotClassifier
from medsiglip.zero_shot.prompt_set import PromptSet
from tests.api.conftest import Home, Phantoms
from tests.api.live_service import LiveService
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

STUDIES = 60
PICTURES = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An archive of studies of three pictures; their quality `split` is by patient, `leaky` is not."""
    index = CaseIndex.open(tmp_path_factory.mktemp("plans") / "home")
    index.activate(SPACE)
    bundles = []
    for study in range(STUDIES):
        part = ("test", "train", "train", "validation")[study // 2 % 4]
        quality = {"split": part, "leaky": "test" if study == 4 else part}
        bundles.append(
            make_bundle(
                study,
                PICTURES,
                patient=f"patient-{study // 2 * 2 if study in (4, 5) else study}",
                image_fields={"quality": quality},
                series_fields={"body_part_examined": "CHEST"},
            )
        )
    # Studies 4 and 5 are of one patient.
    rows = unit_vectors(STUDIES * PICTURES).reshape(STUDIES, PICTURES, -1)
    rows[1::2, 0] += 0.8 * rows[0, 0]  # one picture of every other study shows it
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    index.add(bundles, rows.reshape(STUDIES * PICTURES, -1).astype(np.float32))
    yield SimpleNamespace(
        index=index, home=index.home, searchable_space=SPACE, space=SPACE, stored_space=SPACE
    )
    index.close()


def uid(study: int) -> str:
    return f"2.25.{study}"


def written(path: Path, header: str, rows: Sequence[str]) -> Path:
    path.write_text("\n".join([header, *rows]))
    return path


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Every other study."""
    rows = [f"{uid(study)},{study % 2}" for study in range(STUDIES)]
    return written(tmp_path / "odd.csv", "study_instance_uid,label:odd", rows)


def test_a_split_of_the_csv_says_what_is_learned_and_what_is_judged(made: Any, tmp_path: Path) -> None:
    parts = ["Train", "test", "", "val", "train", "test"]
    rows = [f"{uid(study)},{study % 2},{parts[study // 10]}" for study in range(STUDIES)]
    csv = written(tmp_path / "split.csv", "study_instance_uid,label:odd,fold", rows)
    trained = train_probe(made, "by-csv", labels_csv=csv, level="study", plan=ProbePlan(split="fold"))
    assert trained.parts == {"training": 19, "validation": 10, "test": 20}
    assert trained.split == "fold"
    assert [(one.label, one.n) for one in trained.labels] == [("odd", 20)]
    assert any("10 labelled cases are in no part" in warning for warning in trained.warnings)
    console = Console(record=True, width=200)
    show_probe(console, trained.to_json())
    assert "on the test part, 20 patients of 49" in console.export_text()
    kept = stored_probe(made, "by-csv").summary["patients"]
    learned = {study for study in range(STUDIES) if parts[study // 10] in ("Train", "val", "train")}
    assert set(kept) == {f"patient-{4 if study == 5 else study}" for study in learned}


def test_a_stored_quality_may_be_the_split(made: Any, odd: Path) -> None:
    trained = [
        train_probe(made, "stored", labels_csv=odd, level=level, plan=ProbePlan(split=split))
        for level, split in (("study", "quality.split"), ("image", "split"))
    ]
    assert trained[0].parts == trained[1].parts
    assert trained[0].parts is not None
    assert trained[0].parts["test"] == 16
    assert trained[1].labels[0].n == trained[0].labels[0].n * PICTURES


def test_a_patient_in_two_parts_is_refused_by_key(made: Any, odd: Path) -> None:
    with pytest.raises(ServiceError, match="patient patient-4 has cases in two parts") as refused:
        train_probe(made, "x", labels_csv=odd, level="study", plan=ProbePlan(split="leaky"))
    assert refused.value.code == "patient-in-two-splits"


@pytest.mark.parametrize(
    ("chosen", "level", "code", "said"),
    [
        ({"split": "nowhere"}, "study", "bad-split", "neither a column"),
        ({"folds": 4}, "study", "bad-folds", "5 to 20 folds, not 4"),
        ({"folds": 21}, "study", "bad-folds", "not 21"),
        ({"pooling": "max"}, "image", "bad-pooling", "nothing to pool"),
        ({"pooling": "max", "exclusive": True}, "study", "bad-pooling", "pooled by the mean"),
        ({"pooling": "sum"}, "study", "bad-pooling", "mean or max"),
        ({"class_weight": "half"}, "study", "bad-class-weight", "balanced"),
    ],
)
def test_what_does_not_go_together(
    made: Any, odd: Path, chosen: dict[str, Any], level: str, code: str, said: str
) -> None:
    with pytest.raises(ServiceError, match=said) as refused:
        train_probe(made, "x", labels_csv=odd, level=level, plan=ProbePlan(**chosen))
    assert refused.value.code == code


def test_the_greatest_score_of_the_pictures_is_that_of_the_study(made: Any, odd: Path) -> None:
    plan = ProbePlan(pooling="max", folds=6)
    trained = train_probe(made, "most", labels_csv=odd, level="study", plan=plan)
    assert (trained.pooling, trained.folds, trained.labels[0].n) == ("max", 6, STUDIES)
    probe = loaded_probe(made, stored_probe(made, "most"))
    images = made.index.table("image")
    logits = probe.predict_logits(images.vectors)[:, 0]
    rows = predict_all(made, "most").predictions
    assert rows is not None
    for row in rows[:5]:
        theirs = [
            logits[place]
            for place, study in enumerate(images.study_instance_uids)
            if study == row["study_instance_uid"]
        ]
        expected = 1 / (1 + np.exp(-max(theirs)))
        assert row["probability"]["odd"] == pytest.approx(expected, abs=1e-6)
    mean = train_probe(made, "means", labels_csv=odd, level="study")
    assert mean.pooling == "mean"
    assert mean.labels[0].n == trained.labels[0].n


def test_an_evaluation_pools_as_the_probe_pools(made: Any, tmp_path: Path) -> None:
    rows = [f"{uid(study)},{study % 2}" for study in range(40)]
    csv = written(tmp_path / "shown.csv", "study_instance_uid,label:shown", rows)
    train_probe(made, "shown", labels_csv=csv, level="study", plan=ProbePlan(pooling="max"))
    others = range(40, STUDIES)
    made.index.labels.put([LabelRecord("shown", one % 2, "study_instance_uid", uid(one)) for one in others])
    probe = loaded_probe(made, stored_probe(made, "shown"))
    images = made.index.table("image")
    logits = probe.predict_logits(images.vectors)[:, 0]
    of = np.array(images.study_instance_uids)
    best = [logits[of == uid(one)].max() for one in others]
    [found] = evaluate_probe(made, "shown").labels
    assert found.n == len(others)
    assert found.auroc == pytest.approx(roc_auc_score([one % 2 for one in others], best))


def test_findings_of_studies_are_pooled_as_the_probe_pools(made: Any, odd: Path, tmp_path: Path) -> None:
    from medsiglip.medgemma.findings import FindingScores

    train_probe(made, "most", labels_csv=odd, level="study", plan=ProbePlan(pooling="max"))
    rows = [f"{uid(study)},{('a', 'b', 'c')[study % 3]}" for study in range(STUDIES)]
    csv = written(tmp_path / "kinds.csv", "study_instance_uid,label", rows)
    train_probe(made, "kinds", labels_csv=csv, plan=ProbePlan(exclusive=True))

    def blind(prompt_set: PromptSet) -> ZeroShotClassifier:
        return ZeroShotClassifier(prompt_set, lambda texts: unit_vectors(len(texts)), 1.0)

    scores = FindingScores(made.index, blind)
    predicted = predict_all(made, "most").predictions
    assert predicted is not None
    expected = {row["study_instance_uid"]: row["probability"]["odd"] for row in predicted}
    for source, count in (("probe:most", 1), ("probe:kinds", 3)):
        for study, findings in scores.of_studies(source, [uid(6), uid(7)]).items():
            assert len(findings) == count
            if count == 1:
                assert findings[0].probability == pytest.approx(expected[study], abs=1e-6)
            else:
                assert sum(one.probability for one in findings) == pytest.approx(1.0)


def test_a_case_of_another_class_is_known(made: Any, tmp_path: Path) -> None:
    kinds = ["rare" if study < 2 else ("a", "b")[study % 2] for study in range(STUDIES - 6)]
    rows = [
        f"{uid(study)},{int(kind == 'a')},{int(kind == 'b')},{int(kind == 'rare') or ''}"
        for study, kind in enumerate(kinds)
    ]
    csv = written(tmp_path / "kinds.csv", "study_instance_uid,label:a,label:b,label:rare", rows)
    plan = ProbePlan(exclusive=True)
    trained = train_probe(made, "known", labels_csv=csv, level="study", plan=plan)
    assert [(one.label, one.n, one.unknown) for one in trained.labels] == [("a", 52, 8), ("b", 52, 8)]
    assert any("'rare'" in warning for warning in trained.warnings)
    columns = ",".join(f"label:{kind}" for kind in "ab")
    given = [
        f"{uid(study)},{int(kind == 'a') or ''},{int(kind == 'b') or ''}" for study, kind in enumerate(kinds)
    ]
    csv = written(tmp_path / "ones.csv", f"study_instance_uid,{columns}", given)
    ones = train_probe(made, "ones", labels_csv=csv, level="study", plan=plan)
    assert [(one.label, one.n, one.unknown) for one in ones.labels] == [("a", 52, 8), ("b", 52, 8)]


def test_a_split_that_says_nothing_is_refused(tmp_path: Path) -> None:
    csv = written(tmp_path / "none.csv", "study_instance_uid,label:a,part", ["2.25.1,1,", "2.25.2,0,"])
    with pytest.raises(
        ServiceError, match="no row which part it is in: fill in the column `part`"
    ) as refused:
        read_labels(csv, "part")
    assert refused.value.code == "bad-split"
    assert read_labels(csv, "quality.split").parts == ()


def test_an_end_in_between_stores_nothing(made: Any, tmp_path: Path) -> None:
    rows = [f"{uid(study)},{study % 2}" for study in range(STUDIES)]
    csv = written(tmp_path / "late.csv", "study_instance_uid,label:late", rows)
    stages = []

    def stop(stage: str, _done: int, _total: int | None) -> None:
        stages.append(stage)
        if stage == "fitting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_probe(made, "late", labels_csv=csv, level="study", on_progress=stop)
    assert stages[0] == "reading cases"
    assert "choosing the strength" in stages
    assert "late" not in {one.name for one in made.index.labels.summaries()}
    with pytest.raises(ServiceError, match="no probe"):
        stored_probe(made, "late")


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("study_instance_uid,label:a", ["2.25.1,1", "2.25.2,0", "2.25.1,0"], "line 4 names 2.25.1 again"),
        ("study_instance_uid,label", ["2.25.1,cat", "2.25.1,dog"], "line 3 names 2.25.1 again"),
        ("study_instance_uid,label:a,part", ["2.25.1,1,test", "2.25.1,1,train"], "line 3 names 2.25.1"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    header: str, rows: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ServiceError, match=said) as refused:
        read_labels(written(tmp_path / "twice.csv", header, rows), "part")
    assert refused.value.code == "duplicate-keys"


def test_keys_that_say_the_same_again_are_counted(made: Any, tmp_path: Path) -> None:
    rows = [f"{uid(study)},{study % 2}" for study in (*range(STUDIES), 7, 7, 9)]
    csv = written(tmp_path / "again.csv", "study_instance_uid,label:odd", rows)
    content = read_labels(csv)
    assert (content.rows, content.repeated, len(content.records)) == (STUDIES, 2, STUDIES)
    trained = train_probe(made, "again", labels_csv=csv, level="study")
    assert any("2 keys stand in more than one row" in warning for warning in trained.warnings)


def test_embeddings_that_are_no_numbers_are_named(
    made: Any, odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    real = made.index.table

    def broken(*words: Any, **given: Any) -> Any:
        table = real(*words, **given)
        vectors = table.vectors.copy()
        vectors[3] = np.nan
        return replace(table, vectors=vectors)

    monkeypatch.setattr(made.index, "table", broken)
    with pytest.raises(ServiceError, match=r"1 of 60 vectors hold NaN .* study 2.25.3") as refused:
        train_probe(made, "x", labels_csv=odd, level="study")
    assert refused.value.code == "vector-not-finite"


@pytest.fixture
def kinds(home: Home, phantoms: Phantoms, tmp_path: Path) -> Path:
    """Three classes of the phantoms, and a split of their patients."""
    rows = []
    listed = home.run("study", "list").json["studies"]
    patients = {one["study_instance_uid"]: one["patient_key"] for one in listed}
    order = {key: place for place, key in enumerate(dict.fromkeys(map(patients.get, phantoms.by_study)))}
    for study, labels in phantoms.by_study.items():
        number = order[patients[study]]
        kind = "other" if labels.get("melanoma") is None else ("naevus", "melanoma")[labels["melanoma"]]
        rows.append(f"{study},{kind},{('test', 'train')[number % 2]}")
    return written(tmp_path / "kinds.csv", "study_instance_uid,label,split", rows)


@pytest.mark.long
def test_classes_by_the_command_line(own_home: Home, kinds: Path, phantoms: Phantoms) -> None:
    words = ("--labels", kinds, "--level", "study", "--exclusive", "--class-weight", "balanced")
    trained = own_home.run("probe", "train", "kinds", *words, "--folds", "6").json
    assert (trained["exclusive"], trained["class_weight"], trained["folds"]) == (True, "balanced", 6)
    assert {one["label"] for one in trained["labels"]} == {"melanoma", "naevus", "other"}
    assert len({one["n"] for one in trained["labels"]}) == 1
    assert len({one["c"] for one in trained["labels"]}) == 1
    study = next(iter(phantoms.by_study))
    scores = own_home.run("probe", "predict", "kinds", "--study", study).json["probability"]
    assert sum(scores.values()) == pytest.approx(1.0)
    shown = own_home.run("probe", "show", "kinds")
    assert shown.json["exclusive"] is True
    split = own_home.run("probe", "train", "split", *words[:-2], "--split", "split").json
    assert split["parts"]["validation"] == 0
    assert split["parts"]["test"] > 0
    pooled = ("--label", "melanoma", "--level", "series", "--pooling", "max")
    assert own_home.run("probe", "train", "most", *pooled).json["pooling"] == "max"


def test_wrong_choices_on_the_command_line(own_home: Home) -> None:
    label = ("probe", "train", "x", "--label", "melanoma")
    assert own_home.run(*label, "--folds", "2").error["code"] == "bad-folds"
    assert own_home.run(*label, "--pooling", "max").error["code"] == "bad-pooling"
    assert own_home.run(*label, "--exclusive").error["code"] == "one-class"
    assert own_home.run(*label, "--split", "fold").error["code"] == "bad-split"
    assert own_home.run(*label, "--pooling", "sum").code == 2
    assert own_home.run(*label, "--class-weight", "half").code == 2


def test_every_choice_by_the_client(service: LiveService, kinds: Path) -> None:
    with service.client() as client:
        job = client.train_probe(
            "client-kinds", labels_csv=kinds, level="study", exclusive=True, class_weight="balanced", folds=7
        )
        client.wait(job)
        probe = client.probe("client-kinds")
        assert (probe.exclusive, probe.class_weight, probe.folds) == (True, "balanced", 7)
        client.wait(client.train_probe("client-split", labels_csv=kinds, level="study", split="split"))
        assert client.probe("client-split").split == "split"
        client.wait(client.train_probe("client-most", labels=["melanoma"], level="study", pooling="max"))
        assert client.probe("client-most").pooling == "max"
        with pytest.raises(JobError, match="neither a column"):
            client.wait(client.train_probe("client-no", labels=["melanoma"], split="nowhere"))
        for name in ("client-kinds", "client-split", "client-most"):
            client.delete_probe(name)
    with service.http() as http:
        for change, code in (
            ({"folds": 4}, 422),
            ({"pooling": "sum"}, 422),
            ({"class_weight": "half"}, 422),
            ({"split": ""}, 422),
            ({"pooling": "max"}, 422),
            ({"exclusive": True}, 422),
        ):
            asked = {"name": "x", "labels": ["melanoma"], **change}
            assert http.post("/v1/probes", json=asked).status_code == code, change
