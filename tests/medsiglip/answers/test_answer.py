"""What every answer is: frozen, read by attribute or as JSON, and open to fields of a newer service."""

from __future__ import annotations

import importlib
import json
import pkgutil
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

import medsiglip.answers
from medsiglip.answers.answer import Answer
from medsiglip.answers.figures import LabelFigures
from medsiglip.answers.questions import ClassifyAnswer, Hit, Score
from medsiglip.answers.reports import ReportLine
from medsiglip.index import records

HIT = records.Hit(1, 0.5, 7, "1.2", "1.3", "1.4", 0, "CR", "key", None, {"effusion": 1.0})


def test_a_value_of_the_index_becomes_an_answer_with_the_same_keys() -> None:
    hit = Hit.model_validate(HIT)
    inside = ("rendering", "rendering_version")  # of the warnings beside the hits
    assert list(hit.to_json()) == [name for name in records.Hit.__slots__ if name not in inside]
    assert hit.model_copy(update={"percentile": 0.9}).to_json()["percentile"] == 0.9


def test_keys_that_were_not_set_are_not_in_the_json() -> None:
    answer = ClassifyAnswer(space="s", scores=(Score(label="a", probability=1.0, cosine=None),))
    assert answer.to_json() == {
        "space": "s",
        "scores": [{"label": "a", "probability": 1.0, "cosine": None}],
    }
    assert "scores" in answer
    assert "results" not in answer
    assert answer.results is None
    with pytest.raises(KeyError):
        answer["results"]
    assert answer["scores"] == answer.to_json()["scores"]
    assert answer.best.label == "a"


def test_fields_of_a_newer_service_are_ignored_and_an_answer_does_not_change() -> None:
    score = Score.model_validate({"label": "a", "probability": 0.5, "new": 1})
    assert score.to_json() == {"label": "a", "probability": 0.5}
    with pytest.raises(ValidationError):
        score.label = "b"  # type: ignore[misc]


def test_what_json_lacks_becomes_null_and_a_time_becomes_text() -> None:
    figures = LabelFigures(
        label="a", n=1, positive=0, auroc=float("nan"), auroc_ci=(float("inf"), 0.5), reason="too few"
    )
    assert figures.auroc is None
    assert json.loads(json.dumps(figures.to_json(), allow_nan=False))["auroc_ci"] == [None, 0.5]
    line = ReportLine(
        id="1", study_instance_uid="1.2", status="draft", route=None, generator="evidence-only", text="",
        revision=1, created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    assert line.created_at == "2026-03-01T00:00:00+00:00"


def test_every_answer_describes_itself() -> None:
    for module in pkgutil.iter_modules(medsiglip.answers.__path__, "medsiglip.answers."):
        importlib.import_module(module.name)

    def below(kind: type[Answer]) -> list[type[Answer]]:
        return [one for each in kind.__subclasses__() for one in (each, *below(each))]

    assert [one.__name__ for one in below(Answer) if not one.__doc__] == []
