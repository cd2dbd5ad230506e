"""Texts that are composed from scores, and that the checks read in them what the scores say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.medgemma.background import background_of
from medsiglip.medgemma.checks.omissions import omissions
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.narrative.composing import Background, compose
from medsiglip.medgemma.narrative.nouns import noun_of, terms
from medsiglip.medgemma.narrative.report_kinds import ReportKind, kind_of, report_kinds
from medsiglip.medgemma.narrative.score_table import score_rows
from medsiglip.medgemma.records import Evidence, Finding, PriorStudy
from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set
from tests.medgemma.narrative.scored_studies import scored, section

SECTIONS = ["TECHNIQUE", "COMPARISON", "FINDINGS", "IMPRESSION", "LIMITATIONS"]


def labels_of(kind: ReportKind) -> list[str]:
    return [
        name
        for name, fields in terms("nouns")["nouns"].items()
        if fields["organ"] in kind.organs and not fields.get("absence")
    ]


def studies_of(kind: ReportKind) -> Iterator[dict[str, bool | None]]:
    """Each label against all others of the kind, in every pair of states."""
    states: list[tuple[bool | None, bool | None]] = [
        (True, False), (False, True), (None, True), (True, None), (None, False), (False, None),
    ]  # fmt: skip
    for label in labels_of(kind):
        for own, others in states:
            yield {other: own if other == label else others for other in labels_of(kind)}


def evidence_of(kind: ReportKind, states: dict[str, bool | None]) -> Evidence:
    modality = min(kind.modalities) if kind.modalities else None
    region = min(kind.regions) if kind.regions else None
    found = scored(states, modality, region=region)
    assert kind_of(found) == kind
    return found


@pytest.mark.long(every=3)
@pytest.mark.parametrize("kind", report_kinds(), ids=lambda kind: kind.name)
def test_the_checks_read_every_sentence_as_its_score_is(kind: ReportKind) -> None:
    for states in studies_of(kind):
        evidence = evidence_of(kind, states)
        checks = check_draft(compose(evidence)[0], evidence)
        assert {check.verdict for check in checks} <= {"agree", "not-checkable"}
        assert not any(check.flags for check in checks)
        read = {check.finding: check.polarity for check in checks if check.finding in states}
        unread = {label for label in states if label not in read}
        assert all(noun_of(label).overlaps for label in unread), unread
        wrong = {label for label in read if read[label] is not states[label]}
        assert all(None in (read[label], states[label]) and label == "nodule" for label in wrong), wrong
        assert omissions(checks, evidence) == ()


OWN_LABELS = ["my label", "no_finding", "Type-B (rare)", "left effusion", 'so "called"', "a\nb", "x" * 300]


@pytest.mark.parametrize("label", OWN_LABELS)
@pytest.mark.parametrize("present", [True, False, None])
def test_a_label_of_ones_own_is_quoted_and_never_contradicted(label: str, present: bool | None) -> None:
    evidence = scored({label: present, "pneumothorax": False})
    text, _ = compose(evidence)
    assert all(check.verdict in ("agree", "not-checkable") for check in check_draft(text, evidence))
    [line] = [line for line in section(text, "FINDINGS").splitlines() if line.startswith("Other: ")]
    assert line.count('"') == 2
    assert len(line) < 200


def test_many_labels_of_ones_own_with_low_scores_are_counted() -> None:
    states: dict[str, bool | None] = {f"Disease {number}": False for number in range(79)}
    text, _ = compose(scored({**states, "Disease X": True}, "XC", region="skin"))
    assert section(text, "FINDINGS") == (
        'Other: The model score suggests "Disease X". 79 other labels have a low score.'
    )


@given(
    labels=st.lists(st.text(max_size=60), max_size=8), states=st.lists(st.sampled_from([True, False, None]))
)
def test_any_labels_make_a_text_whose_sentences_stand_in_it_in_order(
    labels: list[str], states: list[bool | None]
) -> None:
    evidence = scored(dict(zip(labels, states, strict=False)))
    text, sentences = compose(evidence)
    position = 0
    for one in sentences:
        position = text.index(one.sentence, position) + len(one.sentence)
    assert [line[:-1] for line in text.splitlines() if line.endswith(":")] == SECTIONS


def test_a_report_has_its_sections_in_order_and_the_organs_of_its_kind_in_theirs() -> None:
    evidence = scored(
        {"fracture": False, "cardiomegaly": True, "nodule": True, "pleural-effusion": False,
         "consolidation": True, "pneumonia": None, "support-devices": None, "own": True}
    )  # fmt: skip
    text, sentences = compose(evidence)
    assert [line[:-1] for line in text.splitlines() if line.endswith(":")] == SECTIONS
    assert section(text, "FINDINGS").splitlines() == [
        "Lungs and airways: The model scores suggest a lung nodule and consolidation. "
        "Pneumonia cannot be excluded by the model score.",
        "Pleura: The model score suggests no pleural effusion.",
        "Heart and mediastinum: The model score suggests cardiomegaly.",
        "Bones: The model score suggests no fracture.",
        "Lines, tubes and devices: Support devices cannot be excluded by the model score.",
        'Other: The model score suggests "own".',
    ]
    position = 0
    for one in sentences:
        position = text.index(one.sentence, position) + len(one.sentence)
    assert {one.sources for one in sentences if "model score" in one.sentence} >= {("probe:known",)}
    assert not any(character.isdigit() for character in section(text, "FINDINGS"))


def test_the_impression_names_high_scores_the_highest_first() -> None:
    evidence = scored({"cardiomegaly": True, "nodule": True, "pneumonia": None, "fracture": False})
    [first, second, *rest] = evidence.findings
    evidence = replace(evidence, findings=(replace(second, probability=0.99), first, *rest))
    expected = "Highest first, the model scores suggest a lung nodule and cardiomegaly."
    assert section(compose(evidence)[0], "IMPRESSION").startswith(expected)
    devices = compose(scored({"support-devices": True, "nodule": True}))[0]
    assert section(devices, "IMPRESSION").endswith("a lung nodule. The model score suggests support devices.")
    low = section(compose(scored({"fracture": False, "nodule": None}))[0], "IMPRESSION")
    assert low == "None of the model scores is high. A lung nodule cannot be excluded by the model score."
    many = scored({"nodule": None, "pneumonia": None, "fracture": None})
    assert "Three of the scored findings are undecided." in section(compose(many)[0], "IMPRESSION")
    assert "normal" not in compose(scored({"fracture": False}))[0]


def test_scores_of_one_finding_that_differ_are_said_to_disagree() -> None:
    evidence = scored({"pleural-effusion": True, "effusion": False})
    text, _ = compose(evidence)
    expected = "Pleura: The model scores disagree, and a pleural effusion cannot be excluded."
    assert section(text, "FINDINGS") == expected
    assert "a pleural effusion cannot be excluded" in section(text, "IMPRESSION")
    assert not any(check.verdict == "contradict" for check in check_draft(text, evidence))


CONFLICT = "The header says foot, but the pictures look like a chest"


def test_a_conflict_of_body_parts_is_said_in_findings_and_impression() -> None:
    text, _ = compose(scored({}, region=None, region_conflict=CONFLICT))
    assert section(text, "FINDINGS").startswith(f"{CONFLICT}. No score")
    assert "not certain which part of the body" in section(text, "IMPRESSION")
    assert "model score" not in text
    assert section(text, "TECHNIQUE") == "Radiograph, one image."


def test_what_is_not_scored_is_said_with_its_reason() -> None:
    reason = "The prompt set mammography does not fit a chest radiograph"
    evidence = scored({"nodule": True}, not_scored=(reason,), left_out=("probe:moles",))
    limits = section(compose(evidence)[0], "LIMITATIONS")
    assert f"{reason}." in limits
    assert 'The probe "moles" was trained on pictures of this patient' in limits
    for bare in (scored({}), scored({}, left_out=("probe:moles",))):
        text, _ = compose(bare)
        assert section(text, "IMPRESSION") == "None: nothing is scored."
        assert check_draft(text, bare)


@pytest.mark.parametrize(
    ("calibrated", "said"),
    [
        ((False, False), "The scores are uncalibrated"),
        ((True, False), "Of two scores, one is calibrated."),
        ((True, True), "The scores are calibrated on known cases."),
    ],
)
def test_the_calibration_of_scores_is_said(calibrated: tuple[bool, bool], said: str) -> None:
    findings = tuple(
        Finding(label, 0.9, True, "probe:known", 1, calibrated=state)
        for label, state in zip(("nodule", "fracture"), calibrated, strict=True)
    )
    evidence = scored({}, findings=findings)
    assert said in section(compose(evidence)[0], "LIMITATIONS")
    assert [row.calibrated for row in score_rows(evidence)] == list(calibrated)


def test_the_demonstration_model_is_named_as_such() -> None:
    phantom = Finding("nodule", 0.9, True, "prompts:phantoms", 1)
    text, _ = compose(scored({}, findings=(phantom,), model="tiny"))
    assert "scores of the image model tiny alone" in text
    assert "not for clinical use" in text
    assert "not for clinical use" not in compose(scored({"nodule": True}))[0]


PRIOR_REPORT = """FINDINGS: Small hiatal hernia. No infarct. The heart is large.
Old rib fracture with a lung nodule beside it. No pneumothorax.
IMPRESSION: Small hiatal hernia."""


def test_the_prior_is_named_by_its_date_and_what_its_report_states_is_quoted() -> None:
    prior = PriorStudy("2.25.9", "2024-05-12", PRIOR_REPORT)
    evidence = scored({"cardiomegaly": True, "nodule": False}, prior=prior)
    text, sentences = compose(evidence, background_of(evidence))
    assert section(text, "COMPARISON") == (
        "Chest radiograph of 12 May 2024, whose report is on file. The pictures of the two studies were not "
        'compared. The earlier report states: "Small hiatal hernia"; "The heart is large"; "Old rib fracture '
        'with a lung nodule beside it".'
    )
    checks = check_draft(text, evidence)
    assert omissions(checks, evidence) == ()
    assert not any(check.verdict == "contradict" for check in checks)
    assert omissions(check_draft(compose(evidence)[0], evidence), evidence) != ()
    assert "2.25.9" not in text
    assert ("2.25.9",) in {one.sources for one in sentences}


def test_a_long_report_of_the_prior_is_quoted_in_part() -> None:
    many = " ".join(f"There is a rib fracture number {number} {'x' * 300}." for number in range(40))
    evidence = scored({"nodule": True}, prior=PriorStudy("2.25.9", "2024-05-12", many))
    assert len(section(compose(evidence, background_of(evidence))[0], "COMPARISON")) < 3000


@pytest.mark.parametrize(
    ("date", "text", "said"),
    [
        ("2024-06-01", None, "Chest radiograph of the same day, 1 June 2024, of which no report is on file."),
        (None, None, "Chest radiograph of unknown date, of which no report is on file."),
        ("2023-12", "Clear.", "Chest radiograph of December 2023, whose report is on file."),
    ],
)
def test_a_prior_without_a_report_or_a_date(date: str | None, text: str | None, said: str) -> None:
    evidence = scored({"nodule": True}, prior=PriorStudy("2.25.9", date, text), study_date="2024-06-01")
    assert section(compose(evidence)[0], "COMPARISON").startswith(said)


def test_no_prior_is_none_available() -> None:
    assert section(compose(scored({"nodule": True}))[0], "COMPARISON") == "None available."


def test_a_text_in_another_language_is_said_to_be_unread() -> None:
    text, _ = compose(scored({"nodule": True}), Background(unread=(("indication", "German"),)))
    assert "The indication is in German, which the checks do not read." in text


def test_the_language_of_indication_and_prior_is_looked_at() -> None:
    prior = PriorStudy("2.25.9", "2024-05-12", "Kein Pneumothorax. Das Herz ist nicht vergrößert.")
    evidence = scored(
        {"nodule": True}, prior=prior, indication="Husten seit drei Wochen, Verdacht auf Pneumonie"
    )
    assert background_of(evidence).unread == (("indication", "German"), ("earlier report", "German"))
    assert background_of(replace(evidence, prior=None, indication="Cough for three weeks")).unread == ()


def test_every_label_of_the_bundled_sets_of_findings_has_a_noun_and_an_organ_in_some_kind() -> None:
    organs = {organ for kind in report_kinds() for organ in kind.organs}
    for name in list_prompt_sets():
        prompt_set = load_prompt_set(name)
        if prompt_set.kind == "findings":
            for label in prompt_set.prompts:
                assert noun_of(label, f"prompts:{name}").organ in organs, (name, label)


def test_nouns_and_codes_name_findings_of_the_lexicon() -> None:
    assert terms("nouns")["nouns"].keys() <= terms("findings")["findings"].keys()
    kinds = report_kinds()
    for name, fields in terms("nouns")["nouns"].items():
        assert any(fields["organ"] in kind.organs for kind in kinds if kind.name != "generic"), name
