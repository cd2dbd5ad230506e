"""Drafts sentence by sentence: how each fared, what a person decides, and what becomes of the text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.index.case_index import CaseIndex
from medsiglip.medgemma.checks.concerns import concerns
from medsiglip.medgemma.checks.review import review
from medsiglip.medgemma.draft_record import draft_of
from medsiglip.medgemma.errors import ConcernsError, DraftError
from medsiglip.medgemma.records import Draft, SentenceDecision
from medsiglip.medgemma.sentence_decisions import decide, sentences
from medsiglip.medgemma.workflow import accept, propose
from tests.medgemma.planted_reports import STUDY, planted_index
from tests.medgemma.test_accepting import EFFUSION, TRUE, stored

TEXT = "FINDINGS: Small left pleural effusion. There is a pneumothorax.\nIMPRESSION: Follow-up is advised."


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CaseIndex]:
    with planted_index(tmp_path) as opened:
        yield opened


def draft(text: str) -> Draft:
    found = review(text, EFFUSION)
    return Draft("d", STUDY, None, "near", "draft", text, EFFUSION, found.checks, omissions=found.omissions)


def choose(number: int, choice: str, text: str | None = None) -> SentenceDecision:
    return SentenceDecision(number, choice, text)  # type: ignore[arg-type]


def test_each_sentence_has_the_verdict_of_its_checks_their_pictures_and_concerns() -> None:
    found = sentences(draft(TEXT))
    assert [one.text for one in found] == [
        "FINDINGS: Small left pleural effusion.",
        "There is a pneumothorax.",
        "IMPRESSION: Follow-up is advised.",
    ]
    assert [one.verdict for one in found] == ["agree", "contradict", "not-checkable"]
    assert [one.line_breaks for one in found] == [0, 0, 1]
    assert [one.findings for one in found] == [("pleural-effusion",), ("pneumothorax",), ()]
    assert [one.image_ids for one in found] == [(1,), (1,), ()]
    assert [one.concerns for one in found] == [(), ("contradict:pneumothorax:39-63",), ()]
    assert all(TEXT[one.start : one.end] == one.text for one in found)


def test_another_side_than_is_known_is_a_contradiction() -> None:
    text = "FINDINGS: Small left pleural effusion.\nIMPRESSION: Small right pleural effusion."
    assert [one.verdict for one in sentences(draft(text))] == ["agree", "contradict"]


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([choose(1, "cut")], "FINDINGS: Small left pleural effusion.\nIMPRESSION: Follow-up is advised."),
        ([choose(0, "cut")], "FINDINGS: There is a pneumothorax.\nIMPRESSION: Follow-up is advised."),
        ([choose(2, "cut")], "FINDINGS: Small left pleural effusion. There is a pneumothorax.\nIMPRESSION:"),
        ([choose(1, "edit", " No pneumothorax. ")], TEXT.replace("There is a", "No")),
        ([choose(n, "keep") for n in range(3)], TEXT),
    ],
)
def test_what_is_cut_leaves_its_heading_and_no_gap(decisions: list[SentenceDecision], expected: str) -> None:
    assert decide(draft(TEXT), decisions).text == expected


def test_a_bullet_goes_with_its_sentence() -> None:
    text = "Findings\n\n- Effusion.\n- Pneumothorax.\n- No nodule.\n\nImpression\n\nNone."
    bullet = next(one.number for one in sentences(draft(text)) if "Pneumo" in one.text)
    assert decide(draft(text), [choose(bullet, "cut")]).text == text.replace("- Pneumothorax.\n", "")
    first = next(one.number for one in sentences(draft(text)) if "Effusion" in one.text)
    both = [choose(first, "cut"), choose(bullet, "cut")]
    assert decide(draft(text), both).text == "Findings\n\n- No nodule.\n\nImpression\n\nNone."


@given(st.text(alphabet="aN.\n :-*!?", max_size=60), st.data())
def test_a_text_of_any_shape_is_kept_or_lessened(text: str, data: st.DataObject) -> None:
    made = draft(text)
    found = sentences(made)
    if not found:
        return
    assert decide(made, [choose(one.number, "keep") for one in found]).text.strip() == text.strip()
    cut = data.draw(st.sets(st.sampled_from([one.number for one in found])))
    if len(cut) == len(found) and ":" not in text:
        with pytest.raises(DraftError, match="No sentence"):
            decide(made, [choose(number, "cut") for number in cut])
        return
    if len(cut) == len(found):
        return  # a heading may stay
    left = decide(made, [choose(number, "cut") for number in cut]).text
    kept = [word for one in found if one.number not in cut for word in one.text.split()]
    remaining = iter(left.split())  # with the headings of what was cut
    assert all(word in remaining for word in kept), "in their order"


@pytest.mark.parametrize(
    ("decisions", "code"),
    [
        ([choose(3, "cut")], "unknown-sentence"),
        ([choose(-1, "cut")], "unknown-sentence"),
        ([choose(1, "cut"), choose(1, "keep")], "unknown-sentence"),
        ([choose(1, "edit", " \n")], "text-missing"),
        ([choose(1, "edit")], "text-missing"),
    ],
)
def test_decisions_that_cannot_be_followed_are_refused(
    index: CaseIndex, decisions: list[SentenceDecision], code: str
) -> None:
    stored(index, TEXT)
    with pytest.raises(DraftError) as caught:
        accept(index, "draft", by="ann", revision=1, decisions=decisions)
    assert caught.value.code == code
    assert index.drafts.get("draft").status == "draft"


def test_decisions_need_the_revision_that_they_are_about(index: CaseIndex) -> None:
    stored(index, TEXT)
    with pytest.raises(DraftError) as caught:
        accept(index, "draft", by="ann", decisions=[choose(1, "cut")])
    assert caught.value.code == "revision-missing"


def test_to_keep_a_contradiction_acknowledges_it_and_to_say_nothing_does_not(index: CaseIndex) -> None:
    made = stored(index, TEXT)
    [concern] = concerns(made)
    for undecided in ([], [choose(0, "keep")]):
        with pytest.raises(ConcernsError) as caught:
            accept(index, "draft", by="ann", revision=1, decisions=undecided)
        assert caught.value.concerns == (concern,)
    done = accept(index, "draft", by="ann", revision=1, decisions=[choose(1, "keep")])
    assert (done.status, done.text) == ("accepted", TEXT)
    assert [step.status for step in done.history] == ["draft", "accepted"]
    assert done.history[-1].acknowledged == (concern,)
    assert done.history[-1].decisions == (SentenceDecision(1, "keep", None, "There is a pneumothorax."),)
    assert draft_of(index.drafts.get("draft")) == done


def test_an_edit_and_its_acceptance_are_two_steps_that_are_taken_at_once(index: CaseIndex) -> None:
    stored(index, TEXT)
    edits = [choose(1, "edit", "No pneumothorax."), choose(2, "cut")]
    seen = propose(index, "draft", edits, 1)
    assert index.drafts.get("draft").revision == 1, "a proposal stores nothing"
    done = accept(index, "draft", by="ann", revision=1, decisions=edits)
    assert done.text == seen.draft.text == TRUE.partition("\n")[0] + "\nIMPRESSION:"
    assert [(step.status, step.by) for step in done.history[1:]] == [("edited", "ann"), ("accepted", "ann")]
    assert done.history[1].difference == seen.difference
    assert "+FINDINGS: Small left pleural effusion. No pneumothorax." in (seen.difference or "")
    assert done.history[2].acknowledged == ()
    assert [one.choice for one in done.history[2].decisions] == ["edit", "cut"]
    with pytest.raises(DraftError, match="stays so"):
        accept(index, "draft", by="ann", revision=3)


def test_what_an_edit_brings_is_asked_for_by_its_id(index: CaseIndex) -> None:
    stored(index, TRUE)
    edits = [choose(1, "edit", "There is a pneumothorax.")]
    found = propose(index, "draft", edits, 1).concerns
    assert [one.kind for one in found] == ["contradict"]
    with pytest.raises(ConcernsError):
        accept(index, "draft", by="ann", revision=1, decisions=edits)
    done = accept(
        index, "draft", by="ann", revision=1, decisions=edits, acknowledge=[one.id for one in found]
    )
    assert done.history[-1].acknowledged == found


def test_a_finding_that_is_cut_is_asked_for_as_left_out(index: CaseIndex) -> None:
    stored(index, "Small left pleural effusion. No pneumothorax.")
    found = propose(index, "draft", [choose(0, "cut")], 1).concerns
    assert [one.id for one in found] == ["omitted:pleural-effusion"]


def test_a_cut_off_text_is_complete_when_its_last_sentence_was_decided(index: CaseIndex) -> None:
    stored(index, "Small left pleural effusion. No pneumothorax. There is", incomplete="length")
    with pytest.raises(DraftError) as caught:
        accept(index, "draft", by="ann", revision=1, decisions=[choose(2, "keep")])
    assert caught.value.code == "draft-incomplete"
    done = accept(index, "draft", by="ann", revision=1, decisions=[choose(2, "cut")])
    assert (done.incomplete, done.text) == (None, "Small left pleural effusion. No pneumothorax.")


def test_a_draft_that_changed_meanwhile_is_refused(index: CaseIndex) -> None:
    stored(index, TEXT)
    accept(index, "draft", by="ann", revision=1, decisions=[choose(1, "keep")])
    with pytest.raises(DraftError):
        propose(index, "draft", [choose(1, "cut")], 1)
