"""What accepting a draft asks, what it refuses, and what it leaves of the draft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from medsiglip.index.case_index import CaseIndex
from medsiglip.medgemma.checks.concerns import concerns
from medsiglip.medgemma.checks.marks import marked, unmarked
from medsiglip.medgemma.checks.review import review
from medsiglip.medgemma.draft_record import draft_of, payload_of
from medsiglip.medgemma.drafts import DraftRequest
from medsiglip.medgemma.errors import ConcernsError, DraftError
from medsiglip.medgemma.exports.export import FORMATS, export
from medsiglip.medgemma.exports.passages import passages
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.generators.generators import Readiness
from medsiglip.medgemma.records import Draft, Evidence, Finding, Flag, PriorStudy, Verdict
from medsiglip.medgemma.workflow import accept, edit
from tests.export_contents import held
from tests.medgemma.planted_reports import STUDY, planted_index
from tests.medgemma.test_drafts import Pictures, Scripted, drafter

TRUE = "FINDINGS: Small left pleural effusion. No pneumothorax.\nIMPRESSION: Left pleural effusion."


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CaseIndex]:
    with planted_index(tmp_path) as opened:
        yield opened


def evidence(prior: str | None = None, **present: bool | None) -> Evidence:
    values = {True: 0.97, False: 0.04, None: 0.5}
    findings = tuple(
        Finding(label.replace("_", "-"), values[state], state, "prompts:chest-xray", 1)
        for label, state in present.items()
    )
    before = None if prior is None else PriorStudy("1.2.9", "2021-01-01", prior)
    return Evidence(STUDY, "space", "DX", "CHEST", "chest-xray", findings, prior=before)


EFFUSION = evidence(pleural_effusion=True, pneumothorax=False)


def stored(
    index: CaseIndex,
    text: str,
    of: Evidence = EFFUSION,
    *,
    draft_id: str = "draft",
    incomplete: str | None = None,
) -> Draft:
    """A generator's draft of this text, as drafting stores it."""
    found = review(text, of)
    made = Draft(draft_id, STUDY, None, "near", "draft", text, of, found.checks, omissions=found.omissions)
    payload = payload_of(replace(made, incomplete=incomplete))
    record = index.drafts.add(
        draft_id, STUDY, route=None, generator="near", text=text, payload=payload, by="worker"
    )
    return draft_of(record)


def ids(draft: Draft) -> list[str]:
    return [one.id for one in concerns(draft)]


def refused(index: CaseIndex, acknowledge: Sequence[str] = ()) -> list[str]:
    """The ids of the concerns for which the draft is not accepted."""
    with pytest.raises(ConcernsError) as caught:
        accept(index, "draft", by="ann", acknowledge=acknowledge)
    assert caught.value.code == "draft-concerns"
    missing = [one.id for one in caught.value.concerns]
    assert all(f"[{one}]" in str(caught.value) for one in missing)
    assert index.drafts.get("draft").status in ("draft", "edited")
    return missing


def test_a_draft_without_concerns_is_accepted_as_it_stands(index: CaseIndex) -> None:
    assert ids(stored(index, TRUE)) == []
    done = accept(index, "draft", by="ann")
    assert (done.status, done.text, done.history[-1].acknowledged) == ("accepted", TRUE, ())


WRONG = {
    "contradict:pneumothorax:30-43": "Small left pleural effusion. Pneumothorax.",
    "omitted:pleural-effusion": "No pneumothorax.",
    "wrong-side:44-80": "FINDINGS: Small left pleural effusion.\nIMPRESSION: Small right pleural effusion.",
    "other-patient:29-52": "Small left pleural effusion. Mr. Vexelmann has felt.",
}


@pytest.mark.parametrize("expected", WRONG)
def test_each_concern_is_acknowledged_and_kept_in_the_history(index: CaseIndex, expected: str) -> None:
    draft = stored(index, WRONG[expected])
    [concern] = concerns(draft)
    assert concern.id.split(":")[0] == expected.split(":")[0]
    start, _, end = concern.id.rpartition(":")[2].partition("-")
    if concern.quote is not None:
        assert draft.text[int(start) : int(end)] == concern.quote
        assert concern.quote not in str(ConcernsError("draft", [concern])), "a sentence may name a patient"
    assert refused(index) == [concern.id]
    assert refused(index, ["omitted:nodule"]) == [concern.id]
    done = accept(index, "draft", by="ann", acknowledge=[concern.id, "omitted:nodule"])
    assert done.history[-1].acknowledged == (concern,)
    assert draft_of(index.drafts.get("draft")) == done
    assert concerns(done) == ()


def test_a_concern_that_is_edited_away_is_not_asked(index: CaseIndex) -> None:
    stored(index, "There is a pneumothorax.")
    assert refused(index) == ["contradict:pneumothorax:0-24", "omitted:pleural-effusion"]
    edit(index, "draft", by="ann", text="No pneumothorax.")
    assert refused(index) == ["omitted:pleural-effusion"]
    edit(index, "draft", by="ann", text=TRUE)
    assert accept(index, "draft", by="ann").status == "accepted"


def test_a_finding_of_the_prior_report_is_asked_for(index: CaseIndex) -> None:
    stored(index, TRUE, evidence("Old rib fracture. No nodule.", pleural_effusion=True, pneumothorax=False))
    assert refused(index) == ["omitted:fracture"]
    edit(index, "draft", by="ann", text=f"{TRUE} The rib fracture has healed.")
    assert accept(index, "draft", by="ann").status == "accepted"


def test_a_text_that_was_cut_off_is_completed_by_a_person_first(index: CaseIndex) -> None:
    draft = stored(index, TRUE, incomplete="length")
    assert draft.incomplete == "length"
    for format_ in FORMATS:
        content = export(draft, format_, StudyFacts(STUDY, "patient-key")).content
        assert held(content, ["INCOMPLETE: the reply was cut off (length)"]), format_
    cut = TRUE + " "
    for text in (None, cut):
        if text is not None:
            assert edit(index, "draft", by="ann", text=text).incomplete == "length", "the same words"
        with pytest.raises(DraftError, match="report edit") as caught:
            accept(index, "draft", by="ann", acknowledge=ids(draft))
        assert caught.value.code == "draft-incomplete"
    assert edit(index, "draft", by="ann", text=f"{TRUE} Follow-up is advised.").incomplete is None
    assert accept(index, "draft", by="ann").status == "accepted"


@dataclass
class Drawing(Pictures):
    """Notes the pictures that are drawn."""

    drawn: list[int]

    def pictures(self, image_ids: Sequence[int]) -> list[NDArray[np.uint8]]:
        self.drawn += image_ids
        return super().pictures(image_ids)


def test_a_generator_that_is_not_ready_is_shown_no_picture(index: CaseIndex) -> None:
    class NotReady(Scripted):
        def ready(self) -> Readiness:
            return Readiness(False, "generator-down", "No server answers.", may_pass=True)

    generator = NotReady("Normal.")
    drawn: list[int] = []
    making = drafter(index, generator)
    making.images = Drawing(drawn)
    with pytest.raises(DraftError, match="No server answers") as caught:
        making.draft(DraftRequest("unready", STUDY, "ann"))
    assert (caught.value.code, caught.value.may_pass) == ("generator-down", True)
    assert (drawn, generator.prompts) == ([], [])
    making.ready = lambda: Readiness(False, "image-blind", "It is blind.")
    with pytest.raises(DraftError, match="blind") as caught:
        making.draft(DraftRequest("unready", STUDY, "ann"))
    assert not caught.value.may_pass


def test_a_reply_in_another_language_is_refused(index: CaseIndex) -> None:
    german = "Kein Pneumothorax. Kleiner Pleuraerguss links. Das Herz ist nicht vergrößert."
    with pytest.raises(DraftError) as caught:
        drafter(index, Scripted(german)).draft(DraftRequest("german", STUDY, "ann"))
    assert caught.value.code == "reply-other-language"
    kept = drafter(index, Scripted(f"{german} The lungs are clear and there is no effusion."))
    draft = kept.draft(DraftRequest("mixed", STUDY, "ann"))
    verdicts = {check.verdict for check in draft.checks if "other-language" in check.flags}
    assert verdicts == {"not-checkable"}


# Marks


LIE = "Pneumothorax. Small [left] pleural effusion, C:\\scans."


def test_marks_that_a_person_copies_do_not_stay_in_the_text(index: CaseIndex) -> None:
    draft = stored(index, LIE, evidence(pleural_effusion=True, pneumothorax=False, nodule=True))
    shown = marked(draft.text, draft.checks, draft.omissions)
    assert "[[contradicts the score of pneumothorax 0.04][Pneumothorax.]]" in shown
    assert shown.endswith("[[not mentioned: nodule 0.97][]]")
    edited = edit(index, "draft", by="ann", text=f"{shown} No nodule.")
    assert edited.text == f"{LIE} No nodule."
    done = accept(index, "draft", by="ann", acknowledge=ids(edited))
    assert index.report_texts.of([STUDY])[STUDY].text == done.text == f"{LIE} No nodule."
    for format_ in FORMATS:
        content = export(done, format_, StudyFacts(STUDY, "patient-key")).content
        assert held(content, ["[[contradicts", "[[copied", "[[not mentioned"]) == []


def test_marks_in_a_generators_text_are_not_accepted(index: CaseIndex) -> None:
    stored(index, f"[[contradicts the score of nodule 0.10][{TRUE}]]")
    done = accept(index, "draft", by="ann")
    assert done.text == TRUE == index.report_texts.of([STUDY])[STUDY].text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [b] \\[c\\] ]] d", "a [b] \\[c\\] ]] d"),
        ("[[copied from a similar case][A. B.]]", "A. B."),
        ("[[contradicts the score of x 0.10][A.", "A."),
        ("[[another side is known; names a person][Left \\[a\\].]] [b]]", "Left [a]. [b]]"),
        ("[[not a mark][A]]", "[[not a mark][A]]"),
    ],
)
def test_a_text_without_its_marks(text: str, expected: str) -> None:
    assert unmarked(text) == expected


def test_marks_of_exports_are_taken_out_too(index: CaseIndex) -> None:
    """Of every verdict and flag, whose words are those of the exports themselves."""
    text = "There is a pneumothorax. Left basal fracture."
    draft = stored(index, text)
    flags = get_args(Flag)
    first, *rest = draft.checks
    checks = [
        replace(first, verdict=verdict, flags=(flag,)) for verdict in get_args(Verdict) for flag in flags
    ]
    for check in checks:
        [passage, *_] = passages(replace(draft, checks=(check, *rest)))
        assert passage.mark is not None
        bold = "\\[" + passage.mark[1:-1] + "\\]"
        for mark in (passage.mark, f"**{bold}**"):
            assert unmarked(f"There is a pneumothorax. {mark} Left basal fracture.") == text, mark
    with pytest.raises(DraftError, match="text") as caught:
        edit(index, "draft", by="ann", text="[[not mentioned: nodule 0.97][]]")
    assert caught.value.code == "text-missing"


@given(st.text("ab \\[].\n", max_size=60))
def test_any_text_is_recovered_from_its_marked_copy(text: str) -> None:
    text = f"Pneumothorax. {text}"
    found = review(text, evidence(pneumothorax=False, nodule=True))
    assert unmarked(marked(text, found.checks, found.omissions)) == text


# A second report


def test_a_second_accepted_report_supersedes_the_first_and_both_are_kept(index: CaseIndex) -> None:
    texts = [f"{TRUE} Reading {number}." for number in ("one", "two", "three")]
    for number, text in enumerate(texts):
        stored(index, text, draft_id=f"d{number}")
        accept(index, f"d{number}", by="ann")
        assert index.report_texts.of([STUDY])[STUDY].text == text
    standing = [draft_of(index.drafts.get(f"d{number}")) for number in range(3)]
    assert [(one.supersedes, one.superseded_by) for one in standing] == [
        (None, "d1"),
        ("d0", "d2"),
        ("d1", None),
    ]
    assert [one.text for one in standing] == texts
    assert [one.study_instance_uid for one in index.studies(["report=reading three"])] == [STUDY]
    assert index.studies(["report=reading one"]) == []
    assert {one.id for one in index.drafts.listed(words="reading one")} == {"d0"}


def test_rows_of_older_homes_load(index: CaseIndex) -> None:
    draft = stored(index, TRUE)
    new = ("omissions", "incomplete", "supersedes", "superseded_by")
    payload = {name: value for name, value in payload_of(draft).items() if name not in new}
    payload["checks"] = [
        {name: value for name, value in one.items() if name not in ("hedged", "attributes")}
        for one in payload["checks"]
    ]
    record = index.drafts.add(
        "older", STUDY, route=None, generator="near", text=TRUE, payload=payload, by="worker"
    )
    older = draft_of(record)
    assert (older.omissions, older.incomplete, older.supersedes, older.superseded_by) == (
        (),
        None,
        None,
        None,
    )
    assert accept(index, "older", by="ann").status == "accepted"
