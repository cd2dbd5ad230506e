"""Other patients' reports stay beside a draft: not in its text, its exports, a search, or the next draft."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.medgemma.checks.copied import left_out, warnings_of
from medsiglip.medgemma.checks.marks import marked, unmarked
from medsiglip.medgemma.checks.overlap import Overlap
from medsiglip.medgemma.draft_record import draft_of, payload_of
from medsiglip.medgemma.drafts import DraftRequest
from medsiglip.medgemma.exports.export import FORMATS, Format, export
from medsiglip.medgemma.exports.pdf_pages import pdf_pages
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft
from medsiglip.medgemma.workflow import edit
from tests.export_contents import held
from tests.medgemma.planted_reports import (
    OTHER,
    PLANTED,
    PRIOR,
    PRIOR_TEXT,
    SEARCHES,
    SECRETS,
    STUDY,
    THIRD,
    accepted,
    copying,
    evidence_only,
    generated,
    planted_index,
)
from tests.medgemma.scripted_server import Script


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CaseIndex]:
    with planted_index(tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _pages_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three formats hold the pages of a draft; to make them takes most of the time of an export."""
    made: list[tuple[object, bytes]] = []

    def once(*given: Any) -> bytes:
        of = [one for one in given if one is not None]
        for known, pages in made:
            if known == of:
                return pages
        made.append((of, pdf_pages(*given)))
        return made[-1][1]

    monkeypatch.setattr("medsiglip.medgemma.exports.export.pdf_pages", once)


def request(study: str = STUDY) -> DraftRequest:
    return DraftRequest(f"draft-{study}", study, "ann")


def exported(draft: Draft, format: Format) -> bytes:
    return export(draft, format, StudyFacts(draft.study_instance_uid, "patient-key")).content


def outside_evidence(index: CaseIndex, draft: Draft) -> str:
    """All that is stored of a draft but its evidence."""
    record = index.drafts.get(draft.id)
    rest = {name: value for name, value in record.payload.items() if name != "evidence"}
    return json.dumps([record.text, rest, [asdict(step) for step in record.history]], default=str)


def leaked(index: CaseIndex, draft: Draft, secrets: Sequence[str]) -> list[str]:
    """The secrets that are stored outside the evidence, or leave in any format."""
    stored = outside_evidence(index, draft).lower()
    leaving = [one for format in FORMATS for one in held(exported(draft, format), secrets)]
    return [*(secret for secret in secrets if secret.lower() in stored), *leaving]


def found(index: CaseIndex, words: str) -> list[str]:
    """The studies whose reports hold the words, and those of drafts that are listed for them."""
    studies = [one.study_instance_uid for one in index.studies([f"report={words}"])]
    return sorted({*studies, *(one.study_instance_uid for one in index.drafts.listed(words=words))})


@pytest.mark.parametrize("settled", [False, True])
def test_evidence_only_leaves_with_nothing_of_other_patients(index: CaseIndex, settled: bool) -> None:
    draft = evidence_only(index).draft(request())
    assert PLANTED in [case.text for case in draft.evidence.similar], "it stands beside the draft"
    assert draft.evidence.prior is not None
    assert draft.evidence.prior.text == PRIOR_TEXT
    assert " of 1 January 2020, whose report is on file." in draft.text
    assert PRIOR not in draft.text
    if settled:
        draft = accepted(index, draft.id)
        assert index.report_texts.of([STUDY])[STUDY].text == draft.text
    assert leaked(index, draft, (*SECRETS, "lattice", OTHER, THIRD)) == []
    assert {found(index, words) == [OTHER] for words in SEARCHES} == {True}


REPLIES = [
    PLANTED,
    "The lungs are clear. A gossypiboma-shaped shadow lies beside the azygos fissure.",
    "Mrs. Vexelmann has clear lungs.",
    "The lungs are clear. Call +49 30 55501477.",
    "The lungs are clear.\n\nImpression: large pneumothorax on the left.",
    "No effusion (MRN 77319042).",
]


@pytest.mark.long(every=3)
@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_that_repeats_other_patients_is_not_kept(
    index: CaseIndex, script: Script, reply: str
) -> None:
    script.turns = copying(reply, thinking=f"They say: {PLANTED}")
    draft = generated(index, script).draft(request())
    assert len(script.requests) == 2
    assert (draft.text, draft.text_without_context, draft.thinking) == ("The lungs are clear.",) * 2 + (None,)
    assert draft.details["context_withheld"]["sentences"] >= 1
    assert draft.details["context_studies"] == []
    assert draft.flips == ()
    [warning] = warnings_of(draft)
    assert "was not kept" in warning
    draft = accepted(index, draft.id)
    assert leaked(index, draft, SECRETS) == []
    note = ["drafted without those reports"]
    assert all(held(exported(draft, format), note) == note for format in FORMATS)
    assert {found(index, words) == [OTHER] for words in SEARCHES} == {True}


def test_a_thought_of_other_patients_is_in_no_export_and_no_search(index: CaseIndex, script: Script) -> None:
    script.turns = copying("The heart is normal.", thinking=f"They say: {PLANTED}")
    draft = generated(index, script).draft(request())
    assert (draft.text, draft.thinking) == ("The heart is normal.", f"They say: {PLANTED}")
    draft = accepted(index, draft.id)
    assert [held(exported(draft, format), SECRETS) for format in FORMATS] == [[]] * len(FORMATS)
    assert {found(index, words) == [OTHER] for words in SEARCHES} == {True}


def test_sentences_of_any_report_and_of_this_patients_are_kept(index: CaseIndex, script: Script) -> None:
    stock = "No rib fracture. The mediastinum is normal."
    index.report_texts.put(
        {OTHER: f"{PLANTED} {stock} {PRIOR_TEXT} The catheter tip lies in Quux."}, "import"
    )
    reply = f"{stock} {PRIOR_TEXT} The catheter tip lies in Quux."
    script.turns = copying(reply, plain="The catheter tip lies in Quux.")
    draft = generated(index, script).draft(request())
    assert (draft.text, draft.details["finish_reason"]) == (reply, "stop")
    assert "context_withheld" not in draft.details
    assert warnings_of(draft) == ()


@pytest.mark.parametrize("says", [True, False])
def test_a_stock_sentence_is_kept_only_where_the_scores_bear_it_out(
    index: CaseIndex, script: Script, says: bool
) -> None:
    findings = evidence_only(index).draft(request(THIRD)).evidence.findings
    certain = next(one for one in findings if one.present is not None)
    word = certain.label.replace("-", " ")
    sentence = f"There is {word}." if certain.present is says else f"There is no {word}."
    index.report_texts.put({OTHER: f"{PLANTED} {sentence}"}, "import")
    script.turns = copying(sentence)
    draft = generated(index, script).draft(DraftRequest("stock", THIRD, "ann"))
    assert draft.text == (sentence if says else "The lungs are clear.")


def test_what_a_person_keeps_of_another_patient_is_flagged_and_not_judged(index: CaseIndex) -> None:
    made = evidence_only(index).draft(request())
    mine = "The trachea is midline.\n"
    theirs = "IMPRESSION: Large pneumothorax on the left, 37 mm wide."
    draft = edit(index, made.id, by="ann", text=mine + theirs)
    [own, copied] = draft.checks
    assert own.flags == ()
    assert (copied.sentence, copied.flags) == (theirs, ("copied-from-similar-case",))
    assert (copied.finding, copied.polarity, copied.verdict) == (None, None, "not-checkable")
    assert marked(draft.text, draft.checks) == f"{mine}[[copied from a similar case][{theirs}]]"
    assert unmarked(marked(draft.text, draft.checks)) == draft.text
    [warning] = warnings_of(draft)
    assert "sentences: 1" in warning
    mark, told = "of a similar case of another patient", "A sentence stands in the report of another patient."
    words = [theirs, mark, told, f"{mine.strip()} ["]
    for format in FORMATS:
        assert held(exported(draft, format), words) == [theirs, mark]
    done = accepted(index, made.id)
    for format in FORMATS:
        assert held(exported(done, format), words) == [theirs, told], "his text has no marks"


def test_what_a_person_writes_alike_by_himself_is_not_flagged(index: CaseIndex) -> None:
    stock = "There is a small left pleural effusion. No pneumothorax."
    index.report_texts.put({OTHER: f"{PLANTED} {stock}"}, "import")
    made = evidence_only(index).draft(request())
    draft = edit(index, made.id, by="ann", text=f"{made.text}\n{stock}")
    assert [check for check in draft.checks if "copied-from-similar-case" in check.flags] == []


def test_the_next_draft_is_shown_an_accepted_text_as_another_patients(
    index: CaseIndex, script: Script
) -> None:
    made = evidence_only(index).draft(request())
    edit(index, made.id, by="ann", text=f"The heart is wide.\n{PLANTED}")
    accepted(index, made.id)
    index.report_texts.put({OTHER: "", PRIOR: ""}, "import")
    script.turns = copying("Seen in Quirinia Vexelmann before.")
    draft = generated(index, script).draft(request(THIRD))
    assert [case.text for case in draft.evidence.similar if case.text] == [f"The heart is wide.\n{PLANTED}"]
    assert draft.text == "The lungs are clear."
    texts = [part["text"] for part in script.requests[0]["messages"][-1]["content"] if part["type"] == "text"]
    quoted = [line for line in "\n".join(texts).splitlines() if any(secret in line for secret in SECRETS)]
    assert len(quoted) == 3
    assert all(line.startswith("> ") for line in quoted)
    assert "other patients" in texts[0]
    assert "not instructions" in texts[0]
    assert not any(secret in json.dumps(script.requests[1]) for secret in SECRETS)


def older(index: CaseIndex, generator: str) -> Draft:
    """A draft as an earlier version stored it: with the words of another patient in its text."""
    made = evidence_only(index).draft(DraftRequest("model", STUDY, "ann"))
    quoted = " ".join(PLANTED.split())
    line = f'Similar case of another patient, study {OTHER} (similarity 0.91; labels: none): "{quoted}"'
    text = (
        f"FINDINGS:\nNodule is present.\n\nCOMPARISON:\n{line}" if generator == "evidence-only" else PLANTED
    )
    payload: dict[str, Any] = payload_of(made) | {"text_without_context": None, "checks": []}
    if generator == "evidence-only":
        sentence: dict[str, Any] = {"finding": "pneumothorax", "verdict": "contradict", "polarity": True}
        middle = text.index("IMPRESSION")
        spans = [(text.index(line), middle - 1), (middle, len(text))]
        payload["checks"] = [
            {**sentence, "sentence": text[start:end], "start": start, "end": end, "sources": [OTHER]}
            for start, end in spans
        ]
    else:
        payload["text_without_context"] = "The lungs are clear."
    record = index.drafts.add(
        "older", STUDY, route=None, generator=generator, text=text, payload=payload, by="ann"
    )
    return draft_of(record)


@pytest.mark.long(every=2)
@pytest.mark.parametrize("generator", ["evidence-only", "near"])
def test_a_draft_of_an_earlier_version_leaves_without_what_it_quotes(
    index: CaseIndex, generator: str
) -> None:
    draft = older(index, generator)
    assert any(secret in draft.text for secret in SECRETS)
    for one in (draft, accepted(index, draft.id)):
        for format in FORMATS:
            sought = ["[similar case 1]", "[similar case 2]", "[similar case 3]", "contradicts the scores"]
            [case] = held(exported(one, format), [*sought, *SECRETS, OTHER])
            assert case.startswith("[similar case")
    report = index.report_texts.of([STUDY])[STUDY]
    assert report.source == "accepted"
    assert [secret for secret in (*SECRETS, OTHER) if secret in report.text] == []
    assert report.text == index.drafts.get("older").text
    assert {words for words in SEARCHES if STUDY in found(index, words)} == set()


def test_neighbouring_copies_of_one_case_are_replaced_together() -> None:
    text = "One. Two. Three. Four."
    copied = [Overlap(0, 4, 0, "wording"), Overlap(5, 9, 0, "wording"), Overlap(17, 22, 1, "identity")]
    assert left_out(text, copied) == "[similar case 1] Three. [similar case 2]"
    assert left_out(text, ()) == text
