"""Routing rules: read field by field, rejected with a sentence that names the field, and written again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.routing.rules import Rule, ScoreCondition, read_rule, read_rules, rules_as_toml

FULL: dict[str, Any] = {
    "studies": "all",
    "enabled": False,
    "priority": 5,
    "modality": ["CR", "DX"],
    "body_part": ["CHEST"],
    "where": ["patient_age>=18"],
    "labels": ["pleural-effusion=1"],
    "quality": ["near_blank=0"],
    "scores": [{"source": "prompts:chest-xray", "label": "pleural-effusion", "at_least": 0.8}],
    "generator": "medgemma",
    "template": "chest-xray",
    "context": False,
    "max_images": 4,
    "neighbours": 3,
    "findings": ["prompts:chest-xray", "probe:nodules"],
    "per_hour": 20,
    "per_day": 200,
    "total": 1000,
}


def test_every_field_is_read_and_written_again() -> None:
    rule = read_rule("chest", FULL)
    assert rule.filters == (
        "modality=CR|DX",
        "body_part_examined=CHEST",
        "patient_age>=18",
        "label:pleural-effusion=1",
        "quality.near_blank=0",
    )
    assert rule.to_json() == FULL
    assert read_rule("empty", {}) == Rule()
    assert Rule().to_json() == {}
    text = rules_as_toml([("chest", rule), ("a.b", Rule())])
    assert read_rules(text.encode(), "file") == {"chest": rule, "a.b": Rule()}


# A database holds no NUL.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)


@given(st.lists(TEXTS, min_size=1))
def test_any_text_survives_the_file(texts: list[str]) -> None:
    rule = Rule(modality=tuple(text.replace("|", "/") for text in texts))
    assert read_rules(rules_as_toml([("x", rule)]).encode(), "file") == {"x": rule}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"wehre": []}, "'wehre'"),
        ({"studies": "some"}, "'studies'"),
        ({"enabled": 1}, "'enabled'"),
        ({"priority": "high"}, "'priority'"),
        ({"modality": "CR"}, "'modality'"),
        ({"where": ["agee>3"]}, "'agee'"),
        ({"where": ["patient_age>old"]}, "'old' is not a number"),
        ({"scores": [{"source": "prompts:x", "label": "y"}]}, "at_least or at_most"),
        ({"scores": [{"source": "prompts:../x", "label": "y", "at_least": 1}]}, "'prompts:../x'"),
        ({"scores": [{"source": "prompts:x", "label": "y", "at_least": 1.5}]}, "'at_least'"),
        ({"findings": ["x"]}, "'x' scores nothing"),
        ({"findings": ["prompts:x"] * 1001}, "'findings' has 1001 entries and may have 1000"),
        ({"scores": [{"source": "probe:x", "label": "y", "at_least": 1}] * 101}, "may have 100"),
        ({"scores": [{"source": "probe:x", "label": "y" * 4097, "at_least": 1}]}, "may have 4096"),
        ({"where": ["modality=CT"] * 101}, "may have 100 filters"),
        ({"where": ["patient_age>" + "x" * 5000]}, "(5000 characters) is not a number"),
        ({"generator": "a\0b"}, "'generator' must be a text"),
        ({"modality": ["\ud800"]}, "'modality' must be a list of texts"),
        ({"x" * 5000: 1}, "(5000 characters)"),
        ({"template": "nothing"}, "no prompt template 'nothing'"),
        ({"per_day": -1}, "'per_day'"),
        ({"max_images": 0}, "'max_images'"),
        ({"neighbours": True}, "'neighbours'"),
    ],
)
def test_what_cannot_be_used_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(DraftError) as caught:
        read_rule("chest", {**FULL, **change})
    assert caught.value.code == "bad-route"
    assert "route chest" in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize("content", [b"modality = 1", b"", b"[x", b"\xff", b"[" * 5000, b"[" + b"a." * 50])
def test_a_file_that_is_no_file_of_routes_is_named(content: bytes) -> None:
    with pytest.raises(DraftError, match=r"^routes\.toml"):
        read_rules(content, "routes.toml")


def test_a_score_holds_between_its_bounds() -> None:
    score = ScoreCondition("prompts:x", "y", 0.2, 0.8)
    assert [score.holds(p) for p in (None, 0.1, 0.2, 0.8, 0.9)] == [False, False, True, True, False]
    assert str(score) == "prompts:x y >= 0.2 <= 0.8"
