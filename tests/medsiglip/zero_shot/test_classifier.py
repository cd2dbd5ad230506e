from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from medsiglip.errors import ModelError
from medsiglip.zero_shot.classifier import Scores, ZeroShotClassifier
from medsiglip.zero_shot.free_labels import free_labels
from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set

SCALE, BIAS = 40.0, -5.0


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
    classifier = ZeroShotClassifier(free_labels(["a", "b"]), lambda texts: np.eye(2), 1e6)
    assert classifier.scores(np.array([[1.0, 0.0]])).probability.tolist() == [[1.0, 0.0]]


def test_free_labels_are_embedded_as_given_and_echoed() -> None:
    texts, given = Texts(), ["Pleural Effusion", "no_effusion", " Größe "]
    scores = ZeroShotClassifier(free_labels(given), texts, SCALE).scores(images(2))
    assert list(scores.labels) == given
    assert texts.calls == [given]
    assert scores.probability.sum(axis=1) == pytest.approx(np.ones(2))


def test_a_single_label_gets_the_pair_probability() -> None:
    texts, vectors = Texts(), images(3)
    classifier = ZeroShotClassifier(free_labels(["effusion"]), texts, SCALE, BIAS)
    expected = expit(SCALE * vectors @ texts(["effusion"])[0] + BIAS)
    assert classifier.scores(vectors).probability[:, 0] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ModelError) as caught:
        ZeroShotClassifier(free_labels(["effusion"]), texts, SCALE).scores(vectors)
    assert caught.value.code == "logit-bias-missing"


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
def test_empty_and_double_labels_are_refused(labels: Any, code: Any, named: Any) -> None:
    with pytest.raises(ModelError, match=named) as caught:
        free_labels(labels)
    assert caught.value.code == code


SCORES = Scores(
    ("a", "b"),
    np.array([[0.2, 0.8], [0.7, 0.3], [0.4, 0.6]]),
    np.array([[0.9, 0.1], [0.2, 0.3], [0.1, 0.5]]),
)


def test_a_study_is_pooled_by_maximum_per_finding(tmp_path: Path) -> None:
    classifier = ZeroShotClassifier(load_prompt_set(write(tmp_path, FINDINGS)), Texts(), SCALE)
    pooled = classifier.pool(SCORES)
    assert pooled.how == "max"
    assert pooled.probability.tolist() == [0.7, 0.8]
    assert pooled.driving.tolist() == [1, 0]
    assert pooled.cosine.tolist() == [0.2, 0.1]


def test_a_study_is_pooled_by_mean_for_classes() -> None:
    classifier = ZeroShotClassifier(free_labels(["a", "b"]), Texts(), SCALE)
    pooled = classifier.pool(SCORES)
    assert pooled.how == "mean"
    assert pooled.probability == pytest.approx(SCORES.probability.mean(axis=0))
    assert pooled.cosine == pytest.approx(SCORES.cosine.mean(axis=0))
    assert pooled.probability.sum() == pytest.approx(1.0)
    assert pooled.driving.tolist() == [1, 0]
    assert classifier.pool(SCORES, "max").probability.tolist() == [0.7, 0.8]


def test_a_study_without_images_is_refused() -> None:
    empty = Scores(("a",), np.empty((0, 1)), np.empty((0, 1)))
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
