"""A home that an earlier version made opens, is whole, and answers every command as that version did.

`homes/revision-0005.zip` is the home, `homes/revision-0005.json` its commands with the answers then; the word
QUERY stands for `homes/query.dcm`.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from tests.api.conftest import run
from tests.repository import ROOT

HOMES = ROOT / "tests" / "homes"
RECORDED = json.loads((HOMES / "revision-0005.json").read_text(encoding="utf-8"))
MADE_AT = "/tmp/oldhome/demo-output"
"""Where the home was when the answers were recorded."""
_OF_DRAFTS = {
    *("omissions", "incomplete", "concerns", "supersedes", "superseded_by"),
    *("sentences", "verdicts"),
}
_OF_ROUTES = {"waiting", "failed", "waiting_drafts", "failed_drafts"}
_OF_DEEP_CHECKS = {"checksums", "without_checksum", "snapshot"}
_OF_INDEX = {"spaces", "search", "compare", "engine"}
ADDED = {
    "answer": {
        *("warnings", "outdated", "trained_on", "cursor", "how"),
        *("scoring", "calibrated", "set"),
        *("chance_of", "in_scope"),
        *_OF_DRAFTS,
        *_OF_ROUTES,
        *_OF_DEEP_CHECKS,
        *_OF_INDEX,
        *("files", "came_from"),
    },
    "answer.background": {"comparable_questions"},
    "answer.labels[]": {"chance_of"},
    "answer.scores[]": {"calibrated", "margin", "fits", "verdict"},
    "answer.probes[]": {"version"},
    "answer.reports[]": _OF_DRAFTS,
    "answer.routes[]": _OF_ROUTES,
    "answer.study": {"region", "region_conflict", "not_scored", "model"},
    "answer.images[]": {"slice_number", "slice_count"},
    "answer.history[]": {"acknowledged", "decisions"},
    "answer.evidence[]": {"image_id"},
    "answer.findings[]": {"calibrated", "name", "state", "picture", "code"},
    "answer.checks[]": {"hedged", "attributes"},
}
"""Keys that later versions added, by place; others are those that were recorded."""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home, unpacked."""
    home = tmp_path_factory.mktemp("older") / "home"
    with zipfile.ZipFile(HOMES / "revision-0005.zip") as archive:
        archive.extractall(home)
    (home / "secret.key").chmod(0o600)
    return home


def test_the_home_is_whole(older: Path) -> None:
    verified = run("--home", older, "--json", "index", "verify").json
    assert (verified["ok"], verified["problems"], verified["images"]) == (True, [], 252)


def test_the_home_is_written_to_as_a_new_one(older: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(older, home)
    with CaseIndex.open(home) as index:
        first, second, *_ = index.studies()
        removed = index.remove_study(first.study_instance_uid)
        index.labels.put([LabelRecord("checked", 1.0, "study_instance_uid", second.study_instance_uid)])
        index.compact()
        index.rebuild()
        assert index.verify().problems == ()
        assert index.info().images == 252 - removed.images
        assert index.study(second.study_instance_uid).labels["checked"] == 1.0


@pytest.mark.long(every=4)
@pytest.mark.parametrize("recorded", RECORDED, ids=[" ".join(one["words"]) for one in RECORDED])
def test_a_command_answers_as_before(older: Path, recorded: dict[str, Any]) -> None:
    words = [HOMES / "query.dcm" if word == "QUERY" else word for word in recorded["words"]]
    if words[:2] == ["search", "--study"]:  # later versions compare studies set to set unless told otherwise
        words += ["--compare", "means"]
    if words[0] == "classify" and "--labels" in words:  # later versions score each on its own
        words += ["--exclusive"]
    done = run("--home", older, "--json", *words)
    assert done.code == recorded["exit_code"], done.err
    expected = recorded["answer"]
    if recorded["words"] == ["index", "info"]:
        assert expected["home"] == MADE_AT
        expected = {**expected, "home": str(older)}
    answer = json.loads(done.out)
    if recorded["words"][:2] == ["audit", "list"]:  # may have grown by the commands of this test
        answer["events"] = answer["events"][: len(expected["events"])]
    if recorded["words"] == ["evaluate", "retrieval"]:  # what later versions say of labels of few patients
        *answer["warnings"], added = answer["warnings"]
        assert added.startswith("fewer than 10 patients carry")
        ci = {name: [None, None] if "recall" in name else one for name, one in expected["ci"].items()}
        expected = {**expected, "ci": ci}
    if recorded["words"][0] == "search":  # percentiles are among hits of comparable questions since
        for one in (*answer["hits"], *expected["hits"]):
            assert 0 <= one.pop("percentile") <= 1
    assert_same(answer, expected)


def assert_same(found: Any, expected: Any, place: str = "answer") -> None:
    """Assert that two JSON values are equal, numbers to 1e-5: another processor may round otherwise."""
    assert type(found) is type(expected), place
    if isinstance(expected, dict):
        added = ADDED.get(re.sub(r"\d+", "", place), ())
        known = [name for name in found if name in expected or name not in added]
        assert known == list(expected), place
        for name, value in expected.items():
            assert_same(found[name], value, f"{place}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for number, value in enumerate(expected):
            assert_same(found[number], value, f"{place}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-5), place
    else:
        assert found == expected, place
