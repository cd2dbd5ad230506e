"""`--where` on the command line: every field is named by the help, and chooses what the stored values say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.filters import FIELDS
from medsiglip.ingest.header.quality import QUALITY
from tests.api.conftest import Home, run

CHOICES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "quality.lossy=0": lambda q: q["lossy"] == 0,
    "quality.lossy_ratio<=1": lambda q: q.get("lossy_ratio", 2) <= 1,
    "quality.bits_stored>8": lambda q: q["bits_stored"] > 8,
    "quality.burned_in=no": lambda q: q["burned_in"] == "no",
    "quality.burned_in!=no": lambda q: q["burned_in"] != "no",
    "quality.view=frontal|lateral": lambda q: q["view"] in ("frontal", "lateral"),
    "quality.view=unknown": lambda q: q["view"] == "unknown",
    "quality.aspect>1": lambda q: q["aspect"] > 1,
    "quality.pixel_aspect=1": lambda q: q["pixel_aspect"] == 1,
    "quality.window_warning=0": lambda q: q["window_warning"] == 0,
    "quality.blank=0": lambda q: q["blank"] == 0,
    "quality.near_blank=false": lambda q: q["near_blank"] == 0,
    "quality.black>0.2": lambda q: q["black"] > 0.2,
    "quality.white<0.001": lambda q: q["white"] < 0.001,
    "quality.contrast>=0.4": lambda q: q["contrast"] >= 0.4,
    "quality.sharpness>0.05": lambda q: q["sharpness"] > 0.05,
    "quality.localizer=0": lambda q: q["localizer"] == 0,
    "quality.projection=0": lambda q: q["projection"] == 0,
    "quality.reformatted!=1": lambda q: q["reformatted"] != 1,
}


@pytest.mark.parametrize("words", [("search",), ("study", "list")])
def test_the_help_names_every_field(words: tuple[str, ...]) -> None:
    named = set(re.findall(r"[a-z_]+", run(*words, "--help").out))
    assert named >= FIELDS.keys() | QUALITY.keys()


def test_every_quality_is_tried_here() -> None:
    """All but `split`, which only a metadata CSV gives, and `site`, which these files lack."""
    tried = {re.split("[=<>!]", one.removeprefix("quality."))[0] for one in CHOICES}
    assert tried == QUALITY.keys() - {"split", "site"}


@pytest.mark.parametrize("expression", CHOICES)
def test_an_expression_chooses_what_the_stored_values_say(home: Home, expression: str) -> None:
    with CaseIndex.open(home.path) as index:
        images = [index.get(int(image_id)) for image_id in index.table().image_ids]
    chosen = [one for one in images if CHOICES[expression](one.quality)]
    listed = home.run("study", "list", "--where", expression).json["studies"]
    assert {one["study_instance_uid"] for one in listed} == {one.study_instance_uid for one in chosen}
    asked = ("search", "--text", "x", "-k", len(images), "--where", expression)
    assert {hit["image_id"] for hit in home.run(*asked).json["hits"]} == {one.image_id for one in chosen}
