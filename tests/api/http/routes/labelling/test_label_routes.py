"""Labels of several readers over HTTP, as the project's client uses them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.client.client import ApiError, Client
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from medsiglip.probes.probe import Probe
from tests.index.index_cases import DIMENSION, SPACE, make_bundle

STUDIES = 48
POSITIVE = [number % 3 == 0 for number in range(STUDIES)]
CLEAR: dict[str, Any] = {"quality": {"burned_in": "no"}}


def uid(number: int) -> str:
    return f"2.25.{number}"


def vectors() -> Any:
    """Unit vectors [n, d] of which every third lies towards the first axis."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(STUDIES, DIMENSION))
    rows[:, 0] += 2.0 * np.array(POSITIVE)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Served:
    """An application on a home of labelled studies, with a client for each of three readers."""

    def __init__(self, http: TestClient, home: Path) -> None:
        self.http = http
        self.archive: Archive = http.app.state.server.archive  # type: ignore[attr-defined]
        self.index: CaseIndex = self.archive.index
        self.home = home

    def client(self, reader: str, *scopes: str) -> Client:
        """The client of a new key of this name."""
        _, key = self.index.api_keys.create(reader, list(scopes) or ["read", "write"])

        def answer(request: httpx.Request) -> httpx.Response:
            sent = {"authorization": f"Bearer {key}"}
            if "content-type" in request.headers:
                sent["content-type"] = request.headers["content-type"]
            got = self.http.request(request.method, str(request.url), content=request.read(), headers=sent)
            return httpx.Response(got.status_code, content=got.content)

        return Client("http://127.0.0.1:8000", api_key=key, transport=httpx.MockTransport(answer))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("labelled") / "home"
    with CaseIndex.open(home) as index:
        index.activate(SPACE)
        bundles = [
            make_bundle(
                number,
                1,
                patient=f"patient{number % 40}",
                series_fields={"modality": "XC" if number % 2 else "CR"},
                image_fields=CLEAR,
            )
            for number in range(STUDIES)
        ]
        index.add(bundles, vectors())
    return home


@pytest.fixture
def served(filled: Path, tmp_path: Path) -> Iterator[Served]:
    home = tmp_path / "home"
    shutil.copytree(filled, home)
    with TestClient(create_app(Settings(home=home)), base_url="http://127.0.0.1:8000") as http:
        yield Served(http, home)


def give(served: Served, reader: str, numbers: range, wrong: tuple[int, ...] = ()) -> None:
    """What a reader says of studies, one action for each; of those that are `wrong` the other value."""
    for number in numbers:
        value = float(POSITIVE[number] != (number in wrong))
        served.index.labels.put([LabelRecord("mass", value, "study_instance_uid", uid(number))], reader)


def test_each_reader_has_a_label_and_the_archive_what_most_say(served: Served) -> None:
    ann, ben, cleo = (served.client(name) for name in ("ann", "ben", "cleo"))
    assert ann.label(uid(1), "mass", 1).matched == 1
    assert served.index.study(uid(1)).labels == {"mass": 1.0}
    ben.label(uid(1), "mass", 0)
    assert served.index.study(uid(1)).labels == {}
    cleo.label(uid(1), "mass", 0)
    assert served.index.study(uid(1)).labels == {"mass": 0.0}
    cleo.label(uid(1), "mass", None)
    said = ann.study_labels(uid(1))
    assert said.study_instance_uid == uid(1)
    assert [(one.reader, one.value, one.current, one.level) for one in said.labels] == [
        ("ann", 1.0, True, "study"),
        ("ben", 0.0, True, "study"),
        ("cleo", 0.0, False, "study"),
        ("cleo", None, False, "study"),
    ]
    assert {one.uid for one in said.labels} == {uid(1)}
    assert all(one.given_at is not None and one.name == "mass" for one in said.labels)
    undone = cleo.undo_labels()
    assert (undone.studies, undone.labels, undone.cases) == ((uid(1),), ("mass",), 1)
    assert served.index.study(uid(1)).labels == {"mass": 0.0}
    cleo.undo_labels()
    with pytest.raises(ApiError) as caught:
        cleo.undo_labels()
    assert (caught.value.status, caught.value.code) == (409, "nothing-to-undo")
    events = [one.event for one in served.index.audit.events()]
    assert [one.action for one in events] == [*["label"] * 4, "view", "label", "label"]
    assert all(one.studies == (uid(1),) for one in events)
    assert events[-1].details == {"undone": 1}


def test_a_label_for_all_that_fit_is_one_action(served: Served) -> None:
    ann = served.client("ann")
    done = ann.label_all(["modality=XC"], "seen", 1)
    assert (done.rows, done.matched, done.labels) == (24, 24, ("seen",))
    [summary] = [one for one in ann.labels() if one.label == "seen"]
    assert (summary.n, summary.positive, summary.level) == (24, 24, "study")
    assert ann.label_all([], "seen", 0).matched == STUDIES
    ann.undo_labels()
    assert ann.undo_labels().cases == 24
    assert [one for one in ann.labels() if one.label == "seen"] == []
    with pytest.raises(ApiError, match="widen") as caught:
        ann.label_all(["modality=MR"], "seen", 1)
    assert (caught.value.status, caught.value.code) == (422, "no-cases")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "one-of"),
        ({"where": [], "rows": [{"study_instance_uid": "1.2", "label": "a", "value": 1}]}, "one-of"),
        ({"where": [], "label": "a"}, "bad-labels"),
        ({"where": [], "value": 1}, "bad-labels"),
        ({"label": "a", "rows": [{"study_instance_uid": "1.2", "label": "a", "value": 1}]}, "bad-labels"),
        ({"where": ["nothing=1"], "label": "a", "value": 1}, "bad-filter"),
        ({"where": [], "label": "a", "value": 2}, "bad-request"),
    ],
)
def test_what_cannot_be_labelled_is_refused(served: Served, body: dict[str, Any], code: str) -> None:
    answer = served.http.post("/v1/labels", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert served.index.reader_labels.readers() == []


def test_agreement_is_that_of_scikit_learn(served: Served) -> None:
    give(served, "ann", range(40))
    give(served, "ben", range(30), wrong=(1, 3, 9))
    give(served, "cleo", range(20, 40), wrong=(21,))
    # What came with the files is nobody's opinion.
    served.index.labels.put([LabelRecord("mass", 0.0, "study_instance_uid", uid(47))])
    found = served.client("dora", "read").label_agreement("mass")
    assert found.readers == ("ann", "ben", "cleo")
    assert [pair.readers for pair in found.pairs] == [("ann", "ben"), ("ann", "cleo"), ("ben", "cleo")]
    truth = np.array(POSITIVE[:30])
    other = truth.copy()
    other[[1, 3, 9]] ^= True
    first = found.pairs[0]
    assert first.n == 30
    assert first.agreement == pytest.approx(0.9)
    assert first.kappa == pytest.approx(cohen_kappa_score(truth, other))
    low, high = first.kappa_ci
    assert low < first.kappa < high  # type: ignore[operator]
    assert [(pair.n, pair.agreement) for pair in found.pairs[1:]] == [(20, 0.95), (10, 0.9)]
    assert found.disagreements == tuple(sorted(uid(number) for number in (1, 3, 9, 21)))
    assert (found.cases, found.patients, found.undecided) == (40, 40, 3)
    assert found.alpha_ci[0] < found.alpha < found.alpha_ci[1]  # type: ignore[operator]
    with pytest.raises(ApiError) as caught:
        served.client("eve").label_agreement("un/heard")
    assert (caught.value.status, caught.value.code) == (422, "unknown-label")
    served.index.labels.put([LabelRecord("a/b?", 1.0, "study_instance_uid", uid(1))], "ann")
    alone = served.client("eve").label_agreement("a/b?")
    assert (alone.readers, alone.pairs, alone.alpha, alone.cases) == (("ann",), (), None, 0)
    assert "second reader" in alone.warnings[0]


def test_a_queue_at_random_stays_while_labels_come(served: Served) -> None:
    ann = served.client("ann")
    first = ann.label_queue("mass", order="random", seed=3, limit=10)
    assert (first.labelled, first.remaining, len(first.cases), first.by) == (0, STUDIES, 10, None)
    ann.label(first.cases[0].study_instance_uid, "mass", 1)
    second = ann.label_queue("mass", order="random", seed=3, limit=10)
    assert (second.labelled, second.remaining) == (1, STUDIES - 1)
    assert second.cases[:9] == tuple(one.model_copy(update={"labels": one.labels}) for one in first.cases[1:])
    assert ann.label_queue("mass", order="random", seed=4, limit=10).cases != first.cases
    some = ann.label_queue("mass", order="random", limit=200, where=["modality=XC"])
    assert {one.modalities for one in some.cases} == {("XC",)}
    assert some.labelled + some.remaining == 24
    # Another reader has labelled nothing yet.
    assert served.client("ben").label_queue("mass", order="random").remaining == STUDIES
    listed = [one.event for one in served.index.audit.events() if one.event.action == "list"]
    assert listed[0].studies == tuple(one.study_instance_uid for one in first.cases)


def test_a_queue_by_disagreement_has_what_readers_divide(served: Served) -> None:
    give(served, "ann", range(12))
    give(served, "ben", range(12), wrong=(2, 5))
    give(served, "cleo", range(12), wrong=(5,))
    found = served.client("dora").label_queue("mass", order="disagreement")
    assert [one.study_instance_uid for one in found.cases] == [uid(2), uid(5)]
    assert served.client("ann").label_queue("mass", order="disagreement").labelled == 12
    alike = served.client("dora").label_queue("mass", order="disagreement", where=["modality=MR"])
    assert (alike.cases, alike.remaining) == ((), 0)
    assert "do not contradict" in alike.warnings[0]


def test_a_queue_by_diversity_is_the_farthest_first(served: Served) -> None:
    give(served, "ann", range(6))
    found = served.client("ann").label_queue("mass", order="diversity", limit=5)
    rows = vectors()
    seen, patients = list(range(6)), {number % 40 for number in range(6)}
    expected = []
    for _ in range(5):
        free = [n for n in range(STUDIES) if n not in seen and n % 40 not in patients]
        farthest = min(free, key=lambda n: (rows[seen] @ rows[n]).max())
        expected.append(uid(farthest))
        seen.append(farthest)
        patients.add(farthest % 40)
    assert [one.study_instance_uid for one in found.cases] == expected
    everything = served.client("ann").label_queue("mass", order="diversity", limit=200)
    assert len(everything.cases) == STUDIES - 6
    last = {one.patient_key for one in everything.cases[-8:]}
    assert {"patient0", "patient1"} <= last


def test_a_queue_by_uncertainty_uses_a_probe_or_else_the_labels(served: Served) -> None:
    ann = served.client("ann")
    few = ann.label_queue("mass")
    assert (few.order, few.by, len(few.cases)) == ("uncertainty", None, 20)
    assert "cases unlike each other" in few.warnings[0]
    give(served, "ben", range(30))
    fitted = ann.label_queue("mass", limit=4, where=["modality=CR"])
    assert fitted.by == "a linear fit to the 30 labels of now"
    assert fitted.warnings == ()
    served.archive.train_probe("mass", labels=["mass"], level="study")
    by_probe = ann.label_queue("mass", limit=2)
    assert by_probe.by == "probe mass@1"
    record = served.index.probes.find("mass")
    assert record is not None
    probe = Probe.load(served.home / record.file)
    logits = probe.predict_logits(vectors())[:, 0]
    shares = {uid(number): abs(logit) for number, logit in enumerate(logits)}
    doubtful = sorted(shares, key=shares.__getitem__)
    assert by_probe.cases[0].study_instance_uid == doubtful[0]
    assert by_probe.cases[1].study_instance_uid in doubtful[:25]


def test_a_learning_curve_goes_with_the_labels_as_they_came(served: Served) -> None:
    order = [*range(0, STUDIES, 2), *range(1, STUDIES, 2)]
    for number in order:
        give(served, "ann", range(number, number + 1))
    found = served.client("ben", "read").learning_curve("mass")
    assert [point.n for point in found.points] == [10, 20, 40, STUDIES]
    assert [point.positive for point in found.points] == [
        sum(POSITIVE[number] for number in order[:n]) for n in (10, 20, 40, STUDIES)
    ]
    last = found.points[-1]
    low, high = last.auroc_ci
    assert 0 < low < last.auroc < high <= 1  # type: ignore[operator]
    best = roc_auc_score(POSITIVE, vectors()[:, 0])
    assert 0.65 < last.auroc <= best + 0.05  # type: ignore[operator]
    with pytest.raises(ApiError) as caught:
        served.client("cleo").learning_curve("nothing")
    assert caught.value.code == "unknown-label"
    served.index.labels.put([LabelRecord("rare", 1.0, "study_instance_uid", uid(1))], "ann")
    rare = served.client("dora").learning_curve("rare")
    assert [(point.n, point.auroc, point.auroc_ci) for point in rare.points] == [(1, None, (None, None))]
    assert "too few" in rare.warnings[0]


def test_what_is_forgotten_is_in_no_answer_about_readers(served: Served) -> None:
    give(served, "ann", range(4))
    give(served, "ben", range(4), wrong=(1,))
    admin = served.client("root", "admin")
    admin.forget_study(uid(1))
    assert admin.label_agreement("mass").disagreements == ()
    assert admin.label_agreement("mass").cases == 3
    with pytest.raises(ApiError) as caught:
        admin.study_labels(uid(1))
    assert caught.value.code == "unknown-study"
    with pytest.raises(ApiError, match="in an address"):
        admin.label_agreement("..")
