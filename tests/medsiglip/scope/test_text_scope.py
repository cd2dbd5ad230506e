"""The scope of texts: false alarms over new archives, what is kept of it, and the texts it learns from."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from medsiglip.checkpoint import TINY
from medsiglip.scope.outlier_p_values import FALSE_ALARM
from medsiglip.scope.reference_texts import reference_texts
from medsiglip.scope.text_scope import Measured, TextScope
from medsiglip.tokenizer import Tokenizer
from medsiglip.zero_shot.prompt_file import load_prompt_set

Draw = np.random.Generator


def texts(draw: Draw, count: int, away: float = 0.0, dimension: int = 8) -> Measured:
    """Made-up texts, of which strange ones lie away from the others in one statistic and in their vectors."""
    statistics = draw.normal(size=(count, 4)) + away * np.array([1.0, 0, 0, 0])
    vectors = draw.normal(size=(count, dimension)) + away * np.eye(dimension)[0]
    return Measured(statistics, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


def test_false_alarms_are_as_rare_as_stated() -> None:
    alarms, asked = 0, 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        scope = TextScope.fit(texts(draw, 60), texts(draw, 60, 1.0), texts(draw, 60))
        alarms += int((scope.p_values(texts(draw, 50)) <= FALSE_ALARM).sum())
        asked += 50
    # The 50 texts of one archive share its threshold: the rate of an archive varies as a beta distribution.
    spread = np.sqrt(FALSE_ALARM * (1 - FALSE_ALARM) * (1 / asked + 1 / (40 * 60)))
    assert alarms / asked <= FALSE_ALARM + 4 * spread


def test_strange_texts_are_told_by_what_tells_them() -> None:
    draw = np.random.default_rng(1)
    scope = TextScope.fit(texts(draw, 200), texts(draw, 200, 2.0), texts(draw, 200))
    usual, strange = texts(draw, 300), texts(draw, 300, 2.0)
    is_strange = np.repeat([0, 1], 300)
    assert roc_auc_score(is_strange, np.r_[scope.scores(usual), scope.scores(strange)]) > 0.95
    assert (scope.p_values(strange) <= FALSE_ALARM).mean() > 0.6
    blind = TextScope.fit(texts(draw, 200), texts(draw, 200), texts(draw, 200))
    assert (blind.p_values(texts(draw, 300)) <= FALSE_ALARM).mean() < 0.15


def test_texts_of_the_archive_set_the_threshold_too() -> None:
    draw = np.random.default_rng(2)
    scope = TextScope.fit(texts(draw, 100), texts(draw, 100, 2.0), texts(draw, 100))
    theirs = texts(draw, 300, 2.0)
    assert (scope.p_values(theirs) <= FALSE_ALARM).mean() > 0.5
    known = scope.with_usual(texts(draw, 300, 2.0))
    assert (known.p_values(theirs) <= FALSE_ALARM).mean() < 0.15
    np.testing.assert_array_equal(known.scores(theirs), scope.scores(theirs))


def test_a_kept_scope_is_the_same() -> None:
    draw = np.random.default_rng(3)
    scope = TextScope.fit(texts(draw, 50), texts(draw, 50, 1.0), texts(draw, 50))
    asked = texts(draw, 100, 0.5)
    again = TextScope.from_json(json.loads(json.dumps(scope.to_json())))
    np.testing.assert_allclose(again.scores(asked), scope.scores(asked), atol=1e-5)
    for broken in ({}, {"probe": 1}, {"probe": ["x"], "weights": [], "usual": []}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            TextScope.from_json(broken)


def test_what_is_measured_of_a_text() -> None:
    tokenizer = Tokenizer(TINY / "spiece.model", 64)
    counts = tokenizer.piece_counts(["Pleural effusion.", "", "胸", "zzzz qqqq"])
    assert counts[0].tolist() == [15, 2, 0]
    assert counts[1].tolist() == [0, 0, 0]
    assert counts[2, 0] == 1
    assert counts[2, 2] >= 3  # the bytes of one character
    assert counts[3, 1] > 4
    vectors = np.eye(2, dtype=np.float32)
    images = np.array([[1, 0], [0.6, 0.8]], np.float32)
    measured = Measured.of(tokenizer, ["pleural effusion", ""], vectors, images)
    expected: npt.NDArray[np.float64] = np.array([[2 / 18, 0, 0.8, 0.0], [0, 0, 0.4, 0.0]])
    np.testing.assert_allclose(measured.statistics, expected, atol=1e-6)


def test_reference_texts_are_apart() -> None:
    given = reference_texts()
    usual, held_out, outliers = map(set, (given.fitted, given.held_out, given.outliers))
    assert not usual & held_out
    assert not (usual | held_out) & outliers
    assert min(len(usual), len(held_out), len(outliers)) > 200
    own = set(given.queries)
    for name in ("chest-xray", "skin-conditions"):
        for label, prompts in load_prompt_set(name).prompts.items():
            theirs = {*prompts.present} - own
            assert theirs <= usual or theirs <= held_out or name == "chest-xray", label
