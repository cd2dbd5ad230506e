"""Drafts as rows: stored once, advanced by one at a time, with their history; and report texts by word."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.drafts import DraftRecord, RevisionRecord
from medsiglip.index.service.newest_first import Place, read_place
from tests.index.index_cases import make_bundle, unit_vectors


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    index.add([make_bundle(number, 1) for number in range(4)], unit_vectors(4))
    return index


def add(index: CaseIndex, draft_id: str = "d1", study: int = 0, cited: tuple[int, ...] = ()) -> DraftRecord:
    similar = [{"study_instance_uid": f"2.25.{one}", "score": 0.5, "text": None} for one in cited]
    return index.drafts.add(
        draft_id,
        f"2.25.{study}",
        route=None,
        generator="evidence-only",
        text="There is a nodule.",
        payload={"evidence": {"similar": similar}},
        cited=[f"2.25.{one}" for one in cited],
        by="worker",
    )


def test_a_draft_is_stored_once_under_its_id(filled: CaseIndex) -> None:
    first = add(filled)
    assert (first.status, first.revision, first.text) == ("draft", 1, "There is a nodule.")
    assert [(step.status, step.by, step.text) for step in first.history] == [
        ("draft", "worker", "There is a nodule.")
    ]
    assert add(filled, study=2) == first
    assert filled.drafts.counts() == {"draft": 1}


def test_a_draft_of_a_forgotten_study_is_refused_and_forgotten_evidence_left_out(filled: CaseIndex) -> None:
    filled.remove_study("2.25.3")
    with pytest.raises(CatalogError, match=r"no study 2\.25\.3"):
        add(filled, study=3)
    draft = add(filled, cited=(1, 3))
    assert [one["study_instance_uid"] for one in draft.payload["evidence"]["similar"]] == ["2.25.1"]


def test_one_of_eight_steps_from_the_same_draft_is_taken(filled: CaseIndex) -> None:
    former = add(filled)

    def accept(number: int) -> str:
        try:
            step = RevisionRecord("accepted", f"person-{number}")
            return filled.drafts.advance(former, step, report="Nodule.").history[-1].by
        except CatalogError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(accept, range(8)))
    assert outcomes.count("draft-changed") == 7
    stored = filled.drafts.get("d1")
    assert (stored.status, stored.revision, len(stored.history)) == ("accepted", 2, 2)
    assert stored.history[-1].by in outcomes


def test_of_drafts_of_a_study_that_are_accepted_at_once_each_supersedes_one(filled: CaseIndex) -> None:
    former = [add(filled, f"d{number}") for number in range(6)]

    def accept(draft: DraftRecord) -> DraftRecord:
        step = RevisionRecord("accepted", "ann", text=f"Text of {draft.id}.")
        return filled.drafts.advance(draft, step, report=f"Text of {draft.id}.")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(accept, former))
    stored = {one.id: filled.drafts.get(one.id) for one in former}
    after = {name: one.payload.get("superseded_by") for name, one in stored.items()}
    before = {name: one.payload.get("supersedes") for name, one in stored.items()}
    assert {(name, later) for name, later in after.items() if later} == {
        (earlier, name) for name, earlier in before.items() if earlier
    }
    [last] = [name for name, later in after.items() if later is None]
    assert [name for name, earlier in before.items() if earlier is None] != [last]
    chain = [last]
    while (earlier := before[chain[-1]]) is not None:
        chain.append(earlier)
    assert sorted(chain) == sorted(stored), "one row of reports"
    assert filled.report_texts.of(["2.25.0"])["2.25.0"].text == f"Text of {last}."
    assert {one.text for one in stored.values()} == {f"Text of {name}." for name in stored}


def test_a_forgotten_study_in_a_superseded_report_leaves_the_newer_one(filled: CaseIndex) -> None:
    texts = ["As in the study 2.25.1 of somebody.", "No nodule."]
    for number, text in enumerate(texts):
        draft = add(filled, f"d{number}", cited=(1,) if number == 0 else ())
        filled.drafts.advance(draft, RevisionRecord("accepted", "ann", text=text), report=text)
    filled.remove_study("2.25.1")
    assert "2.25.1" not in filled.drafts.get("d0").text
    assert filled.report_texts.of(["2.25.0"])["2.25.0"].text == texts[1]


def test_steps_keep_text_difference_and_reason(filled: CaseIndex) -> None:
    edited = filled.drafts.advance(
        add(filled), RevisionRecord("edited", "ann", text="No nodule.", difference="-a\n+b"), {"checks": []}
    )
    assert (edited.text, edited.payload) == ("No nodule.", {"checks": []})
    rejected = filled.drafts.advance(edited, RevisionRecord("rejected", "bob", reason="wrong side"))
    assert [(step.status, step.by, step.difference, step.reason) for step in rejected.history] == [
        ("draft", "worker", None, None),
        ("edited", "ann", "-a\n+b", None),
        ("rejected", "bob", None, "wrong side"),
    ]
    assert rejected.text == "No nodule."


def test_drafts_are_listed_by_status_study_and_words(filled: CaseIndex) -> None:
    add(filled)
    later = add(filled, "d2", study=1)
    filled.drafts.advance(later, RevisionRecord("accepted", "ann"), report="Left pleural effusion.")
    listed = filled.drafts.listed
    assert [one.id for one in listed()] == ["d2", "d1"]
    assert [one.id for one in listed(status="draft")] == ["d1"]
    assert [one.id for one in listed(study_instance_uid="2.25.1")] == ["d2"]
    assert [one.id for one in listed(words="pleural effusion")] == ["d2"]
    assert {one.id for one in listed(words="a nodule")} == {"d1", "d2"}
    with pytest.raises(CatalogError, match="no draft d9"):
        filled.drafts.get("d9")


def test_report_texts_are_kept_by_source_and_found_by_words(filled: CaseIndex) -> None:
    store = filled.report_texts
    assert store.put({"2.25.0": "Caption: effusion_1 100% sure", "2.25.9": "x"}, "metadata") == ("2.25.9",)
    store.put({"2.25.0": "No PLEURAL effusion,\nno nodule.", "2.25.1": "Große Läsion."}, "import")
    assert store.of(["2.25.0", "2.25.1", "2.25.2"])["2.25.0"].source == "import"

    def found(expression: str) -> list[str]:
        return [study.study_instance_uid for study in filled.studies([expression])]

    assert found("report=pleural effusion") == ["2.25.0"]
    assert found("report=effusion pleural") == []
    assert found("report=pleura") == []
    assert found("report=GROSSE läsion|nothing") == ["2.25.1"]
    assert found("report=") == ["2.25.2", "2.25.3"]
    assert found("report!=nodule") == ["2.25.1", "2.25.2", "2.25.3"]
    assert found("report=effusion_1 100") == ["2.25.0"]
    assert found("report=effusionx1 100") == []
    with pytest.raises(CatalogError, match="asked for words"):
        found("report>1")
    store.put({"2.25.0": " "}, "import")
    assert store.of(["2.25.0"])["2.25.0"].source == "metadata"
    assert store.counts() == {"import": 1, "metadata": 1}


def test_the_values_behind_a_filter(filled: CaseIndex) -> None:
    both = ["2.25.0", "2.25.1"]
    assert filled.filters.values("modality=MR", both) == {"2.25.0": ["CT"], "2.25.1": ["CT"]}
    assert filled.filters.values("report=x", both) == {"2.25.0": [], "2.25.1": []}


def test_drafts_are_listed_in_pages_and_by_the_verdicts_of_their_sentences(filled: CaseIndex) -> None:
    verdicts: dict[str, list[str] | None] = {
        "a": ["agree", "contradict"],
        "b": ["agree"],
        "c": [],
        "d": ["contradict"],
        "e": None,
    }
    for draft_id, found in verdicts.items():
        # As text, a verdict is none; nor is that of a side within a check.
        checks: list[Any] | None = found and [
            {"verdict": one, "sentence": '"verdict": "doubtful"', "attributes": [{"verdict": "unsupported"}]}
            for one in found
        ]
        filled.drafts.add(
            draft_id,
            "2.25.0",
            route=None,
            generator="evidence-only",
            text="There is a nodule.",
            payload={"evidence": {}, "checks": checks},
            by="worker",
        )
    everything = [one.id for one in filled.drafts.listed()]
    assert sorted(everything) == list("abcde")
    for verdict, expected in {"contradict": "ad", "agree": "ab", "doubtful": "", "unsupported": ""}.items():
        assert sorted(one.id for one in filled.drafts.listed(verdict=verdict)) == list(expected)
    paged: list[str] = []
    after = None
    while page := filled.drafts.listed(after=after, limit=2):
        paged += [one.id for one in page]
        after = read_place(Place(page[-1].created_at, page[-1].id).cursor())
    assert paged == everything


@pytest.mark.parametrize("text", ["", "a", "é", "MTIzNDU", "MSA", "MSAh", "LTEgYQ", "x" * 101, "MSBh=="])
def test_a_made_up_place_in_a_list_is_refused(text: str) -> None:
    with pytest.raises(CatalogError) as caught:
        read_place(text)
    assert caught.value.code == "bad-cursor"


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)), st.uuids())
def test_a_place_in_a_list_is_what_its_cursor_says(moment: datetime, name: UUID) -> None:
    place = Place(min(moment.replace(tzinfo=UTC), datetime(5000, 1, 1, tzinfo=UTC)), name.hex)
    assert read_place(place.cursor()) == place
