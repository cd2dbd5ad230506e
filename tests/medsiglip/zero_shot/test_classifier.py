from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from medsiglip.errors import ModelError
from medsiglip.zero_shot.class_matrix import ClassMatrices, class_matrix
from medsiglip.zero_shot.classifier import SCORINGS, Scores, ZeroShotClassifier
from medsiglip.zero_shot.free_labels import free_labels
from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set

SCALE, BIAS = 40.0, -5.0
EFFUSION = (["left effusion", "right effusion", "effusion"], ["no effusion", "normal study"])


class Texts:
    """A text encoder of known answers: each new text gets the next random unit vector."""

    def __init__(self, dimension: Any = 24) -> None:
        self.known: dict[str, Any] = {}
        self.calls: list[list[str]] = []
        self.rng, self.dimension = np.random.default_rng(0), dimension

    def __call__(self, texts: Any) -> Any:
        self.calls.append(list(texts))
        for text in texts:
            vector = self.rng.normal(size=self.dimension)
            self.known.setdefault(text, vector / np.linalg.norm(vector))
        return np.array([self.known[text] for text in texts], dtype=np.float32)


def images(count: Any, dimension: Any = 24, seed: Any = 1) -> Any:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def write(folder: Any, text: Any) -> Any:
    path = folder / "own.toml"
    path.write_text(text)
    return path


FINDINGS = """
kind = "findings"
source = "somewhere"
where = ["modality=CR|DX"]
[prompts.effusion]
absent = ["no effusion", "normal study"]
present = ["left effusion", "right effusion", "effusion"]
where = ["view_position=PA"]
[prompts.nodule]
absent = ["normal study"]
present = ["nodule"]
"""


def test_findings_are_a_softmax_over_mean_absent_and_mean_present(tmp_path: Path) -> None:
    texts, vectors = Texts(), images(5)
    prompt_set = load_prompt_set(write(tmp_path, FINDINGS))
    scores = ZeroShotClassifier(prompt_set, texts, SCALE).scores(vectors)
    assert scores.labels == prompt_set.labels == ("effusion", "nodule")
    for column, label in enumerate(scores.labels):
        pair = []
        for side in (prompt_set.prompts[label].absent, prompt_set.prompts[label].present):
            mean = np.mean([texts.known[text] for text in side], axis=0)
            pair.append(vectors @ (mean / np.linalg.norm(mean)))
        expected = softmax(SCALE * np.array(pair), axis=0)[1]
        assert scores.probability[:, column] == pytest.approx(expected, abs=1e-6)
        assert scores.cosine[:, column] == pytest.approx(pair[1], abs=1e-6)


def test_classes_and_names_are_a_softmax_over_each_other(tmp_path: Path) -> None:
    texts, vectors = Texts(), images(4)
    path = write(tmp_path, 'kind = "classes"\n[prompts]\na = ["x", "y"]\nb = ["z"]\nc = ["x", "z", "w"]\n')
    scores = ZeroShotClassifier(load_prompt_set(path), texts, SCALE).scores(vectors)
    cosines = []
    for group in (["x", "y"], ["z"], ["x", "z", "w"]):
        mean = np.mean([texts.known[text] for text in group], axis=0)
        cosines.append(vectors @ (mean / np.linalg.norm(mean)))
    assert scores.cosine == pytest.approx(np.transpose(cosines), abs=1e-6)
    assert scores.probability == pytest.approx(softmax(SCALE * np.transpose(cosines), axis=1), abs=1e-6)
    names = write(tmp_path, 'kind = "names"\nnames = ["x", "z"]\n')
    named = ZeroShotClassifier(load_prompt_set(names), texts, SCALE).scores(vectors)
    expected = softmax(SCALE * np.stack([vectors @ texts.known[text] for text in "xz"], axis=1), axis=1)
    assert named.probability == pytest.approx(expected, abs=1e-6)


def test_texts_are_encoded_once_and_only_once(tmp_path: Path) -> None:
    texts = Texts()
    classifier = ZeroShotClassifier(load_prompt_set(write(tmp_path, FINDINGS)), texts, SCALE)
    classifier.scores(images(2))
    classifier.scores(images(3))
    assert len(texts.calls) == 1
    assert sorted(texts.calls[0]) == sorted(set(texts.calls[0]))


def test_large_logits_stay_finite() -> None:
    labels = free_labels(["a", "b"], exclusive=True)
    classifier = ZeroShotClassifier(labels, lambda texts: np.eye(2), 1e6)
    assert classifier.scores(np.array([[1.0, 0.0]])).probability.tolist() == [[1.0, 0.0]]


def test_margins_are_the_logits_of_the_scores(tmp_path: Path) -> None:
    texts, vectors = Texts(), images(5)
    found = ZeroShotClassifier(load_prompt_set(write(tmp_path, FINDINGS)), texts, SCALE).scores(vectors)
    assert expit(found.margin) == pytest.approx(found.probability, abs=1e-12)
    present, absent = (np.mean([texts.known[text] for text in side], axis=0) for side in EFFUSION)
    sides = [side / np.linalg.norm(side) for side in (present, absent)]
    expected = SCALE * (vectors @ sides[0] - vectors @ sides[1])
    assert found.margin[:, 0] == pytest.approx(expected, abs=1e-4)
    names = free_labels(["x", "y", "z"], exclusive=True)
    exclusive = ZeroShotClassifier(names, texts, SCALE).scores(vectors)
    assert softmax(exclusive.margin, axis=1) == pytest.approx(exclusive.probability, abs=1e-12)
    assert exclusive.margin == pytest.approx(SCALE * exclusive.cosine, abs=1e-12)


def test_the_model_s_own_sigmoid_takes_each_label_s_texts_alone(tmp_path: Path) -> None:
    texts, vectors = Texts(), images(5)
    prompt_set = load_prompt_set(write(tmp_path, FINDINGS))
    found = ZeroShotClassifier(prompt_set, texts, SCALE, BIAS, "sigmoid").scores(vectors)
    mean = np.mean([texts.known[text] for text in EFFUSION[0]], axis=0)
    logits = SCALE * vectors @ (mean / np.linalg.norm(mean)) + BIAS
    assert found.margin[:, 0] == pytest.approx(logits, abs=1e-4)
    assert found.probability[:, 0] == pytest.approx(expit(logits), abs=1e-6)
    names = free_labels(["x", "y"], exclusive=True)
    own = ZeroShotClassifier(names, texts, SCALE, BIAS, "sigmoid").scores(vectors)
    expected = expit(SCALE * np.stack([vectors @ texts.known[text] for text in "xy"], axis=1) + BIAS)
    assert own.probability == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ModelError) as caught:
        ZeroShotClassifier(prompt_set, texts, SCALE, None, "sigmoid").scores(vectors)
    assert caught.value.code == "logit-bias-missing"


@pytest.mark.parametrize("scoring", SCORINGS)
def test_a_denied_label_is_the_other_side_of_the_plain_one(scoring: Any) -> None:
    labels = ["effusion", "no effusion", "a chest film with a tube", "a chest film without any tube"]
    found = ZeroShotClassifier(free_labels(labels), Texts(), SCALE, BIAS, scoring).scores(images(40))
    assert found.labels == tuple(labels)
    for plain, denied in ((0, 1), (2, 3)):
        assert found.margin[:, denied].tolist() == (-found.margin[:, plain]).tolist()
        assert found.probability[:, denied] == pytest.approx(1 - found.probability[:, plain], abs=1e-15)
    assert np.ptp(found.probability[:, 0]) > 0


def test_a_denied_label_is_pooled_by_the_image_that_speaks_most_against_it() -> None:
    classifier = ZeroShotClassifier(free_labels(["effusion", "no effusion"]), Texts(), SCALE)
    pooled = classifier.pool(classifier.scores(images(7)))
    assert pooled.driving[0] == pooled.driving[1]
    assert pooled.probability.sum() == pytest.approx(1.0, abs=1e-15)
    assert pooled.how == "max"


def test_labels_that_exclude_each_other_are_embedded_as_given_and_echoed() -> None:
    texts, given = Texts(), ["Pleural Effusion", "no_effusion", " Größe "]
    scores = ZeroShotClassifier(free_labels(given, exclusive=True), texts, SCALE).scores(images(2))
    assert list(scores.labels) == given
    assert texts.calls == [given]
    assert scores.probability.sum(axis=1) == pytest.approx(np.ones(2))


def test_many_images_are_scored_as_each_of_them() -> None:
    classifier = ZeroShotClassifier(free_labels(["a", "b"]), Texts(), SCALE)
    many = images(9000)
    together = classifier.scores(many)
    for part in (slice(0, 1), slice(4095, 4097), slice(8999, None)):
        alone = classifier.scores(many[part])
        assert alone.margin == pytest.approx(together.margin[part], abs=2e-5)
        assert together.rows(part).margin.tolist() == together.margin[part].tolist()
    exact = classifier.scores(many.astype(np.float64))
    assert together.probability == pytest.approx(exact.probability, abs=1e-5)


def test_texts_of_one_encoder_are_encoded_once_for_the_process(tmp_path: Path) -> None:
    texts, prompt_set = Texts(), load_prompt_set(write(tmp_path, FINDINGS))
    first = ZeroShotClassifier(prompt_set, texts, SCALE, encoder="test, first").scores(images(3))
    renamed = replace(prompt_set, name="other", where=())
    again = ZeroShotClassifier(renamed, texts, SCALE, encoder="test, first").scores(images(3))
    assert again.margin.tolist() == first.margin.tolist()
    assert len(texts.calls) == 1
    ZeroShotClassifier(prompt_set, texts, SCALE, encoder="test, second").scores(images(3))
    assert len(texts.calls) == 2


def test_the_kept_matrices_are_bounded() -> None:
    texts = Texts()
    sets = [free_labels([f"a{number}", "b"]) for number in range(6)]
    size = class_matrix(sets[0], texts).nbytes
    kept = ClassMatrices(most_bytes=3 * size)
    for one in sets:
        kept.of("e", one, texts)
    assert len(kept) == 3
    calls = len(texts.calls)
    kept.of("e", sets[5], texts)
    assert len(texts.calls) == calls
    kept.of("e", sets[0], texts)
    assert len(texts.calls) == calls + 1
    assert len(ClassMatrices(most_bytes=size - 1)) == 0


def test_a_fingerprint_changes_with_kind_labels_and_texts_alone(tmp_path: Path) -> None:
    prompt_set = load_prompt_set(write(tmp_path, FINDINGS))
    same = replace(prompt_set, name="x", source="y", where=("modality=CT",))
    assert prompt_set.fingerprint == same.fingerprint
    others = [
        replace(prompt_set, prompts=dict(reversed(list(prompt_set.prompts.items())))),
        replace(prompt_set, kind="classes"),
        *(free_labels([label]) for label in ("effusion", "no effusion", "nodule")),
        free_labels(["effusion", "nodule"], exclusive=True),
    ]
    found = {one.fingerprint for one in (prompt_set, *others)}
    assert len(found) == 7
    assert all(len(one) == 64 and int(one, 16) >= 0 for one in found)


@pytest.mark.parametrize(
    ("labels", "code", "named"),
    [
        ([], "no-labels", "No labels"),
        (["a", ""], "empty-label", "2 of 2"),
        (["a", " \t"], "empty-label", "2 of 2"),
        (["_", "a"], "empty-label", "1 of 2"),
        (["a", "b", "a"], "duplicate-label", "'a' and 'a'"),
        (["Pleural  effusion", "pleural_effusion "], "duplicate-label", "'Pleural  effusion'"),
    ],
)
@pytest.mark.parametrize("exclusive", [False, True])
def test_empty_and_double_labels_are_refused(labels: Any, code: Any, named: Any, exclusive: Any) -> None:
    with pytest.raises(ModelError, match=named) as caught:
        free_labels(labels, exclusive=exclusive)
    assert caught.value.code == code


def test_one_label_excludes_nothing() -> None:
    with pytest.raises(ModelError, match="'effusion' has no other") as caught:
        free_labels(["effusion"], exclusive=True)
    assert caught.value.code == "one-exclusive-label"


SCORES = Scores(
    ("a", "b"),
    np.array([[0.2, 0.8], [0.7, 0.3], [0.4, 0.6]]),
    np.array([[0.9, 0.1], [0.2, 0.3], [0.1, 0.5]]),
    logit(np.array([[0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])),
)


def test_a_study_is_pooled_by_maximum_per_finding(tmp_path: Path) -> None:
    classifier = ZeroShotClassifier(load_prompt_set(write(tmp_path, FINDINGS)), Texts(), SCALE)
    pooled = classifier.pool(SCORES)
    assert pooled.how == "max"
    assert pooled.probability.tolist() == [0.7, 0.8]
    assert pooled.driving.tolist() == [1, 0]
    assert pooled.cosine.tolist() == [0.2, 0.1]
    assert pooled.margin == pytest.approx(logit(np.array([0.7, 0.8])))


def test_a_study_is_pooled_by_mean_for_classes() -> None:
    classifier = ZeroShotClassifier(free_labels(["a", "b"], exclusive=True), Texts(), SCALE)
    pooled = classifier.pool(SCORES)
    assert pooled.how == "mean"
    assert pooled.margin == pytest.approx(SCORES.margin.mean(axis=0))
    assert pooled.probability == pytest.approx(SCORES.probability.mean(axis=0))
    assert pooled.cosine == pytest.approx(SCORES.cosine.mean(axis=0))
    assert pooled.probability.sum() == pytest.approx(1.0)
    assert pooled.driving.tolist() == [1, 0]
    assert classifier.pool(SCORES, "max").probability.tolist() == [0.7, 0.8]


def test_a_label_is_pooled_over_the_images_that_it_is_about(tmp_path: Path) -> None:
    classifier = ZeroShotClassifier(load_prompt_set(write(tmp_path, FINDINGS)), Texts(), SCALE)
    among = np.array([[True, False], [False, False], [True, False]])
    pooled = classifier.pool(SCORES, among=among)
    assert pooled.probability.tolist() == [0.4, 0.8]  # of a label that is about none, over all
    assert pooled.driving.tolist() == [2, 0]
    exclusive = ZeroShotClassifier(free_labels(["a", "b"], exclusive=True), Texts(), SCALE)
    among = np.array([[True, True], [False, False], [True, True]])
    pooled = exclusive.pool(SCORES, among=among)
    assert pooled.probability == pytest.approx([0.3, 0.7])
    assert pooled.margin == pytest.approx(SCORES.margin[[0, 2]].mean(axis=0))
    denied = ZeroShotClassifier(free_labels(["a", "no b"]), Texts(), SCALE)
    pooled = denied.pool(SCORES, among=np.array([[True, True], [True, False], [True, True]]))
    assert pooled.driving.tolist() == [1, 2]


def test_a_study_without_images_is_refused() -> None:
    empty = Scores(("a",), *(np.empty((0, 1)) for _ in range(3)))
    with pytest.raises(ModelError) as caught:
        ZeroShotClassifier(free_labels(["a", "b"]), Texts(), SCALE).pool(empty)
    assert caught.value.code == "no-images"


def test_vectors_of_another_model_are_refused() -> None:
    with pytest.raises(ModelError) as caught:
        ZeroShotClassifier(free_labels(["a", "b"]), Texts(24), SCALE).scores(images(1, 12))
    assert caught.value.code == "dimension-mismatch"


def test_filters_of_a_finding_narrow_those_of_the_set(tmp_path: Path) -> None:
    prompt_set = load_prompt_set(str(write(tmp_path, FINDINGS)))
    assert (prompt_set.name, prompt_set.kind, prompt_set.source) == ("own", "findings", "somewhere")
    assert prompt_set.where == ("modality=CR|DX",)
    assert prompt_set.prompts["effusion"].where == ("modality=CR|DX", "view_position=PA")
    assert prompt_set.prompts["nodule"].where == ("modality=CR|DX",)


@pytest.mark.parametrize("name", list_prompt_sets())
def test_bundled_sets_name_their_source_and_equal_their_file(name: Any) -> None:
    prompt_set = load_prompt_set(name)
    assert prompt_set.source
    assert all(entry.where for entry in prompt_set.prompts.values())
    content = (resources.files("medsiglip") / "prompts" / f"{name}.toml").read_text("utf-8")
    document = tomllib.loads(content)
    assert list(prompt_set.labels) == list(
        document["prompts"] if "prompts" in document else document["names"]
    )
    assert all(entry.present for entry in prompt_set.prompts.values())
    assert all(bool(entry.absent) == (prompt_set.kind == "findings") for entry in prompt_set.prompts.values())


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("chest-xray", 13),
        ("diabetic-retinopathy", 5),
        ("invasive-breast-cancer", 3),
        ("tcga-study-type", 10),
        ("tissue-type", 16),
        ("skin-conditions", 79),
    ],
)
def test_published_sets_have_the_published_number_of_classes(name: Any, labels: Any) -> None:
    assert len(load_prompt_set(name).labels) == labels


def test_an_unknown_set_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="chest-xray, diabetic-retinopathy") as caught:
        load_prompt_set("chest")
    assert caught.value.code == "prompt-set-unknown"
    for path in (tmp_path / "none.toml", tmp_path / "folder"):
        with pytest.raises(ModelError, match=str(path)) as caught:
            load_prompt_set(path)
        assert caught.value.code == "prompt-set-unknown"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("kind = ", "not valid TOML"),
        ("\xff", "not valid TOML"),
        (f"x = {'[' * 5000}", "not valid TOML .line 1 has more than 32 brackets within each other"),
        (f'kind = "names"\nnames = ["a", "{"b" * 1001}"]', "a label has 1001 characters and may have 1000"),
        (f'kind = "classes"\n[prompts]\n{"b" * 1001} = ["x"]', "a label has 1001 characters and may have"),
        ('[prompts]\na = ["x"]', "'kind' must be one of"),
        ('kind = "labels"', "'kind' must be one of"),
        ('kind = ["findings"]', "'kind' must be one of"),
        ('kind = "classes"', "'prompts' must be a table"),
        ('kind = "classes"\n[prompts]\na = ["x"]', "'prompts' has one class"),
        ('kind = "classes"\n[prompts]\na = ["x"]\nb = "y"', "'prompts.b' must be a list of texts"),
        ('kind = "classes"\n[prompts]\na = ["x"]\nb = []', "'prompts.b' must be a list of texts"),
        (
            'kind = "classes"\n[prompts]\na = ["x"]\nb = ["y", ""]',
            "'prompts.b' holds something that is not a",
        ),
        ('kind = "classes"\n[prompts]\na = ["x"]\nb = ["y", "y"]', "'prompts.b' holds the same text twice"),
        ('kind = "classes"\n[prompts]\na = ["x"]\n"" = ["y"]', "empty label"),
        ('kind = "classes"\nnames = ["x"]\n[prompts]\na = ["x"]', "'names' does not go with"),
        ('kind = "names"\nnames = ["a"]', "'names' has one class"),
        ('kind = "names"\nnames = ["a", "a"]', "'names' holds the same text twice"),
        ('kind = "names"\nnames = ["a", "b"]\n[prompts]\na = ["x"]', "'prompts' does not go with"),
        ('kind = "findings"\n[prompts]\na = ["x"]', "'prompts.a' must be a table"),
        ('kind = "findings"\n[prompts.a]\npresent = ["x"]', "'prompts.a.absent' must be a list"),
        (
            'kind = "findings"\n[prompts.a]\nabsent = ["x"]\npresent = [1]',
            "'prompts.a.present' holds something",
        ),
        (
            'kind = "findings"\n[prompts.a]\nabsent=["x"]\npresent=["y"]\nmaybe=["z"]',
            "'prompts.a.maybe' is not",
        ),
        ('kind = "findings"\nprompt = 1', "'prompt' is not a key"),
        ('kind = "classes"\nsource = 1\n[prompts]\na = ["x"]\nb = ["y"]', "'source' must be a text"),
        ('kind = "classes"\nwhere = "x=1"\n[prompts]\na = ["x"]\nb = ["y"]', "'where' must be a list"),
    ],
)
def test_a_format_error_names_file_and_key(tmp_path: Path, text: Any, named: Any) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=named) as caught:
        load_prompt_set(path)
    assert caught.value.code == "prompt-set-invalid"
    assert str(caught.value).startswith(str(path))
