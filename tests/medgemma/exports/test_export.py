"""What holds for every format: all sentences, the marks until accepted, and nobody else's data."""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
from typing import Any

import pytest

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.exports.export import FORMATS, export
from medsiglip.medgemma.exports.standing import INCOMPLETE_MARK, MARK, REJECTED_MARK
from medsiglip.medgemma.records import Attribute, Finding, Revision
from tests.medgemma.exports.exported_drafts import (
    ACCEPTED,
    EDITED,
    FACTS,
    OTHER_STUDY,
    OTHER_TEXT,
    PLAIN,
    REJECTED,
    STANDINGS,
    TEXTS,
    Pictures,
    draft,
    needs_font,
    read_back,
    squeezed,
)

pytestmark = pytest.mark.parametrize("format", FORMATS)


@pytest.mark.long(every=9)
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("between", [" ", "\n", "\r\n\r\n"])
def test_every_sentence_and_the_mark_are_in_every_export(format: Any, kind: Any, between: Any) -> None:
    if format in ("pdf", "dicom-pdf"):
        needs_font("".join(TEXTS[kind]))
    made = export(draft(TEXTS[kind], between=between), format, FACTS, Pictures())
    text = unicodedata.normalize("NFC", squeezed(read_back(made, format)))
    assert squeezed(MARK) in text or format in ("pdf", "dicom-pdf")  # whose marks are in their margins
    for sentence in TEXTS[kind]:
        assert unicodedata.normalize("NFC", squeezed(sentence)) in text


def test_contradictions_and_flags_stand_behind_their_sentences(format: Any) -> None:
    text = squeezed(read_back(export(draft(), format, FACTS), format))
    assert squeezed(f"{PLAIN[1]} [contradicts the scores: pneumothorax 0.87]") in text
    expected = (
        f"{PLAIN[2]} [not supported by the scores: pneumothorax; speaks of change, but there is no prior"
    )
    assert squeezed(expected) in text
    assert squeezed(f"{PLAIN[0]} [") not in text


def test_an_accepted_draft_names_who_and_when_and_is_marked_no_more(format: Any) -> None:
    text = squeezed(read_back(export(draft(status="accepted", history=(ACCEPTED,)), format, FACTS), format))
    assert squeezed("accepted by Dr. Anna Moeller on 2026-11-25 05:30 UTC") in text
    assert squeezed("NOT A REPORT") not in text
    assert all(squeezed(sentence) in text for sentence in PLAIN)


@pytest.mark.parametrize("status", ["edited", "accepted"])
def test_an_edited_draft_holds_the_words_of_the_person_alone(format: Any, status: Any) -> None:
    history = (EDITED, dataclasses.replace(ACCEPTED, text=EDITED.text)) if status == "accepted" else (EDITED,)
    text = squeezed(read_back(export(draft(status=status, history=history), format, FACTS), format))
    if status == "edited":
        assert squeezed("edited by Dr. Anna Moeller on 2026-11-25 05:30 UTC. Nobody has accepted it") in text
        assert squeezed(MARK) in text or format in ("pdf", "dicom-pdf")  # as above
    else:
        assert squeezed("accepted with changes by Dr. Anna Moeller") in text
        assert squeezed("NOT A REPORT") not in text
    mark = " [contradicts the scores: pneumothorax 0.87]" if status == "edited" else ""
    assert squeezed(f"There is no pneumothorax.{mark} The rest is mine.") in text
    assert squeezed(PLAIN[0]) not in text


def test_a_text_that_is_cut_off_says_so_first(format: Any) -> None:
    made = export(STANDINGS["incomplete"](PLAIN), format, FACTS)
    text = squeezed(read_back(made, format))
    for words in (INCOMPLETE_MARK, "INCOMPLETE: the reply was cut off (length)."):
        assert squeezed(words) in text
        assert text.index(squeezed(words)) < text.index(squeezed(PLAIN[0]))
    assert squeezed("INCOMPLETE") not in squeezed(read_back(export(draft(), format, FACTS), format))


def test_what_the_text_omits_stands_beside_it(format: Any) -> None:
    made = STANDINGS["incomplete"](PLAIN)
    text = squeezed(read_back(export(made, format, FACTS), format))
    for words in ("consolidation: score 0.97, calibrated", "rib fracture: in the prior report"):
        assert squeezed(words) in text
    accepted = dataclasses.replace(made, status="accepted", history=(ACCEPTED,), incomplete=None)
    assert squeezed("rib fracture") not in squeezed(read_back(export(accepted, format, FACTS), format))


def test_what_was_acknowledged_is_listed_apart_from_the_accepted_text(format: Any) -> None:
    text = squeezed(read_back(export(STANDINGS["acknowledged"](PLAIN), format, FACTS), format))
    assert squeezed(" ".join(PLAIN)) in text
    assert squeezed("The text does not mention nodule, whose score is high.") in text
    assert squeezed(f'A sentence contradicts score 0. "{PLAIN[1]}"') in text
    assert squeezed("A sentence contradicts score 1.") in text
    assert squeezed(OTHER_TEXT) not in text
    assert text.index("Thetextdoesnotmention") > text.index(squeezed(PLAIN[-1]))
    for mark in ("contradicts the scores", "speaks of change", "not supported"):
        assert squeezed(mark) not in text


def test_an_addendum_and_what_it_supersedes_name_each_other(format: Any) -> None:
    text = squeezed(read_back(export(STANDINGS["addendum"](PLAIN), format, FACTS), format))
    assert squeezed("Addendum: it supersedes report draft-16.") in text
    text = squeezed(read_back(export(STANDINGS["superseded"](PLAIN), format, FACTS), format))
    assert squeezed("Superseded by report draft-18.") in text


@pytest.mark.long(every=6)
@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"verdict": "doubtful", "hedged": True}, "suspected, but doubtful by the scores: pneumothorax 0.87"),
        ({"flags": ("other-language",)}, "in another language, not checked"),
        ({"flags": ("other-patient",)}, "names a person"),
        (
            {
                "flags": ("wrong-side",),
                "attributes": (Attribute("side", "left", 4, 8, "contradict", "right"),),
            },
            "another side is known: right",
        ),
        ({"flags": ("wrong-size",)}, "another size is known"),
        ({"flags": ("wrong-number",)}, "another number is known"),
    ],
)
def test_every_objection_stands_behind_its_sentence(format: Any, changes: Any, mark: str) -> None:
    made = draft()
    checks = (dataclasses.replace(made.checks[0], **changes), *made.checks[1:])
    text = squeezed(read_back(export(dataclasses.replace(made, checks=checks), format, FACTS), format))
    assert squeezed(f"{PLAIN[0]} [{mark}]") in text


def test_scores_have_their_calibration_and_the_picture_that_drove_them(format: Any) -> None:
    made = draft()
    images = tuple(
        dataclasses.replace(image, slice_number=170 + n, slice_count=300)
        for n, image in enumerate(made.evidence.images, 1)
    )
    findings = (Finding("pleural-effusion", 0.93, True, "prompts:chest-xray", 2, calibrated=True),)
    evidence = dataclasses.replace(made.evidence, images=images, findings=findings, modality="CT")
    content = export(dataclasses.replace(made, evidence=evidence), format, FACTS)
    text = content.content.decode() if format == "fhir" else read_back(content, format)
    text = squeezed(re.sub(r"<[^>]*>", " ", text))
    assert "slice172of300" in text
    if format == "dicom-sr":
        assert squeezed("Pleural effusion: model score high, 0.93 (calibrated)") in text
    else:
        assert squeezed("Pleural effusion high 0.93 calibrated prompts:chest-xray slice 172 of 300") in text


def test_a_rejected_draft_leaves_as_markdown_alone(format: Any) -> None:
    rejected = draft(status="rejected", history=(REJECTED,))
    if format == "markdown":
        text = squeezed(read_back(export(rejected, format, FACTS), format))
        assert squeezed(REJECTED_MARK) in text
        assert squeezed("Rejected by Dr. Anna Moeller on 2026-11-25 05:30 UTC") in text
        assert squeezed("Wrong *patient* side.") in text
        assert all(squeezed(sentence) in text for sentence in PLAIN)
    else:
        with pytest.raises(DraftError, match="draft-17 was rejected") as refused:
            export(rejected, format, FACTS)
        assert refused.value.code == "draft-rejected"


def test_other_patients_leave_as_scores_and_labels_only(format: Any) -> None:
    quoting = f"As in study {OTHER_STUDY}."
    made = export(draft((quoting, f"Not 1{OTHER_STUDY} nor {OTHER_STUDY}.5.")), format, FACTS, Pictures())
    text = squeezed(read_back(made, format))
    assert squeezed("As in study [similar case 1].") in text
    assert squeezed(f"Not 1{OTHER_STUDY} nor {OTHER_STUDY}.5.") in text
    assert squeezed(OTHER_TEXT) not in text
    whole = export(draft(), format, FACTS)
    for secret in (OTHER_STUDY, "2.25.998", OTHER_TEXT):
        assert secret.encode() not in whole.content
        assert squeezed(secret) not in squeezed(read_back(whole, format))
    if format != "fhir":  # whose conclusion, which is what is read back, holds no scores
        assert squeezed("0.934") in squeezed(read_back(whole, format))


@pytest.mark.long(every=3)
def test_two_hundred_findings_and_no_images(format: Any) -> None:
    many = draft(findings=200, images=0)
    made = export(many, format, FACTS, Pictures())
    text = json.dumps(json.loads(made.content)) if format == "fhir" else read_back(made, format)
    assert all(f"finding-{n:03d}" in text for n in range(200))


def test_the_same_draft_makes_the_same_bytes(format: Any) -> None:
    assert export(draft(), format, FACTS, Pictures()) == export(draft(), format, FACTS, Pictures())


@pytest.mark.parametrize("status", ["accepted", "edited", "rejected"])
def test_a_status_that_nobody_answers_for_is_refused(format: Any, status: Any) -> None:
    other = Revision("draft", "machine", "2026-11-25T04:00:00Z")
    with pytest.raises(DraftError) as refused:
        export(draft(status=status, history=(other,)), format, FACTS)
    assert refused.value.code in ("draft-undecided-by", "draft-rejected")


def test_facts_of_another_study_and_bad_times_are_refused(format: Any) -> None:
    with pytest.raises(DraftError) as refused:
        export(draft(), format, dataclasses.replace(FACTS, study_instance_uid="2.25.5"))
    assert refused.value.code == "other-study"
    with pytest.raises(DraftError) as refused:
        export(dataclasses.replace(draft(), created_at=""), format, FACTS)
    assert refused.value.code == "draft-undated"
    with pytest.raises(DraftError) as refused:
        export(draft(), format.upper(), FACTS)
    assert refused.value.code == "unknown-format"
