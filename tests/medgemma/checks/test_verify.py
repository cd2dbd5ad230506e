"""The checks of drafts: verdicts, flags, flips and marks, and that any text can be checked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.medgemma.checks.marks import marked, unmarked
from medsiglip.medgemma.checks.sentences import split
from medsiglip.medgemma.checks.verify import check_draft, flag_flips, flips
from medsiglip.medgemma.records import Evidence, Finding, PriorStudy
from medsiglip.phantoms.report import read_phrases
from medsiglip.zero_shot.prompt_file import load_prompt_set
from tests.repository import ROOT


def evidence(
    template: str = "chest-xray",
    modality: str | None = "DX",
    body_part: str | None = "CHEST",
    prior: PriorStudy | None = None,
    source: str = "prompts:chest-xray",
    **present: bool | None,
) -> Evidence:
    return evidence_of(present, template, modality, body_part, prior, source)


def evidence_of(
    present: Mapping[str, bool | None],
    template: str = "chest-xray",
    modality: str | None = "DX",
    body_part: str | None = "CHEST",
    prior: PriorStudy | None = None,
    source: str = "prompts:chest-xray",
) -> Evidence:
    """Evidence with findings by label, in which an underscore stands for a hyphen."""
    findings = tuple(
        Finding(label.replace("_", "-"), {True: 0.97, False: 0.04, None: 0.5}[state], state, source, 1)
        for label, state in present.items()
    )
    return Evidence("1.2.3", "space", modality, body_part, template, findings, prior=prior)


def verdicts(text: str, of: Evidence) -> list[tuple[str | None, str]]:
    return [(check.finding, check.verdict) for check in check_draft(text, of)]


def test_each_verdict() -> None:
    of = evidence(pneumothorax=True, pleural_effusion=False, consolidation=None)
    assert verdicts("There is a pneumothorax.", of) == [("pneumothorax", "agree")]
    assert verdicts("No pneumothorax.", of) == [("pneumothorax", "contradict")]
    assert verdicts("There is a pleural effusion.", of) == [("pleural-effusion", "contradict")]
    assert verdicts("There is a rib fracture.", of) == [("fracture", "unsupported")]
    assert verdicts("No rib fracture.", of) == [("fracture", "unsupported")]
    assert verdicts("The trachea is midline.", of) == [(None, "not-checkable")]
    assert verdicts("Possible pneumothorax.", of) == [("pneumothorax", "not-checkable")]


@pytest.mark.parametrize("text", ["There is a consolidation.", "No consolidation."])
def test_an_uncertain_score_contradicts_nothing(text: str) -> None:
    (check,) = check_draft(text, evidence(consolidation=None))
    assert check.verdict == "not-checkable"
    assert check.probability == 0.5


def test_clauses_of_a_sentence_are_checked_apart() -> None:
    text = "Findings: No effusion or pneumothorax, but the heart is enlarged."
    checks = check_draft(text, evidence(pneumothorax=True, pleural_effusion=False, cardiomegaly=True))
    assert [(c.sentence, c.finding, c.verdict) for c in checks] == [
        ("Findings: No effusion or pneumothorax,", "pleural-effusion", "agree"),
        ("Findings: No effusion or pneumothorax,", "pneumothorax", "contradict"),
        ("but the heart is enlarged.", "cardiomegaly", "agree"),
    ]


def test_history_states_nothing_and_findings_do() -> None:
    text = "INDICATION: Pneumothorax.\nFINDINGS:\nNo pneumothorax.\n"
    assert [v for _, v in verdicts(text, evidence(pneumothorax=True))] == [
        "not-checkable",
        "not-checkable",
        "contradict",
    ]


def test_otherwise_spares_what_the_draft_has_named() -> None:
    text = "There is a left lower lobe consolidation. The lungs are otherwise clear."
    of = evidence(consolidation=True, atelectasis=True)
    assert [c.finding for c in check_draft(text, of) if c.verdict == "contradict"] == ["atelectasis"]


def test_a_label_of_the_user_is_known_by_its_own_words() -> None:
    of = evidence(source="probe:wires", loose_screw=True)
    assert verdicts("No loose screws are seen.", of) == [("loose-screw", "contradict")]
    assert verdicts("A screw is seen.", of) == [(None, "not-checkable")]


@pytest.mark.parametrize("label", ["normal", "severe", "left", "none"])
def test_a_label_of_words_that_any_report_uses_is_not_matched(label: str) -> None:
    of = evidence_of({label: False}, source="probe:grades")
    text = "Severe left pain. The trachea is normal. None."
    assert all(verdict == "not-checkable" for _, verdict in verdicts(text, of))


def test_a_label_that_says_none_is_the_opposite_of_the_finding() -> None:
    grades = evidence("fundus", "OP", None, source="prompts:diabetic-retinopathy", none=True, severe=False)
    found = {c.finding: (c.polarity, c.verdict) for c in check_draft("Severe diabetic retinopathy.", grades)}
    assert found == {"severe": (True, "contradict"), "none": (False, "contradict")}


def test_every_label_of_the_chest_prompts_is_in_the_lexicon() -> None:
    for label, prompts in load_prompt_set("chest-xray").prompts.items():
        for text in prompts.present:
            if text == "airspace opacification cannot be excluded" or "lytic" in text:
                continue
            of = evidence_of({label: False})
            found = verdicts(text, of)
            assert (label, "contradict") in found or (label, "doubtful") in found, text


@pytest.mark.parametrize(
    ("template", "modality", "body_part", "anatomy"),
    [
        ("chest-xray", "DX", "CHEST", "chest-xray"),
        ("ct-volume", "CT", "CHEST", "chest-ct"),
        ("ct-volume", "CT", "HEAD", "head-ct"),
        ("fundus", "OP", None, "fundus"),
        ("mammogram", "MG", "BREAST", "mammogram"),
        ("dermatology", "XC", None, "skin"),
        ("ultrasound", "US", "ABDOMEN", "ultrasound"),
    ],
)
def test_true_words_of_the_phantoms_are_never_flagged(
    template: str, modality: str, body_part: str | None, anatomy: str
) -> None:
    phrases = read_phrases(anatomy)
    for table, is_present in ((phrases.present, True), (phrases.absent, False)):
        for texts in table.values():
            present = dict.fromkeys(phrases.present, is_present)
            of = evidence_of(present, template, modality, body_part, source="prompts:phantoms")
            for text in texts:
                written = text.format(side="left", severity="moderate", location="lower lobe")
                checks = check_draft(written, of)
                assert not [c for c in checks if c.verdict == "contradict"], written
                assert not [c for c in checks if "other-modality" in c.flags], written


@pytest.mark.parametrize(
    ("text", "template", "modality", "body_part"),
    [
        ("The cardiomediastinal silhouette is normal.", "ct-volume", "CT", "CHEST"),
        ("Frontal and lateral views of the chest.", "ct-volume", "CT", "CHEST"),
        ("The lungs are clear.", "fundus", "OP", None),
        ("No acute cardiopulmonary process.", "mr", "MR", "BRAIN"),
        ("The costophrenic angles are sharp.", "ct-volume", "CT", "HEAD"),
        ("There is restricted diffusion on DWI.", "chest-xray", "DX", "CHEST"),
        ("The optic disc is normal.", "chest-xray", "DX", "CHEST"),
        ("The CT shows no nodule.", "chest-xray", "CR", None),
        ("Chest x-ray without abnormality.", "pathology", "SM", None),
    ],
)
def test_wording_of_another_picture_is_flagged(
    text: str, template: str, modality: str, body_part: str | None
) -> None:
    checks = check_draft(text, evidence(template, modality, body_part))
    assert all("other-modality" in check.flags for check in checks)


@pytest.mark.parametrize(
    "text", ["Chest CT is recommended.", "Compared with the CT of May.", "INDICATION: nodule on CT."]
)
def test_another_picture_may_be_asked_for_or_compared_with(text: str) -> None:
    assert not [c for c in check_draft(text, evidence()) if "other-modality" in c.flags]


def test_words_of_change_are_fine_where_there_is_a_prior() -> None:
    text = "The effusion is unchanged."
    assert check_draft(text, evidence())[0].flags == ("temporal-without-prior",)
    assert check_draft(text, evidence(prior=PriorStudy("1.2")))[0].flags == ()


def test_flips_are_labels_on_which_two_drafts_take_opposite_sides() -> None:
    of = evidence(pneumothorax=True, pleural_effusion=False, edema=True)
    first = "There is a pneumothorax. No effusion. Mild edema."
    second = "No pneumothorax. No effusion. Possible edema."
    assert flips(first, second, of) == ("pneumothorax",)
    flagged = flag_flips(check_draft(first, of), ("pneumothorax",))
    assert [c.finding for c in flagged if "flipped-by-context" in c.flags] == ["pneumothorax"]


def test_contradictions_are_marked_and_nothing_else_changes() -> None:
    text = "Heart size is normal. No pneumothorax [or so]."
    of = evidence(pneumothorax=True, cardiomegaly=False)
    copy = marked(text, check_draft(text, of))
    assert copy == (
        "Heart size is normal. "
        r"[[contradicts the score of pneumothorax 0.97][No pneumothorax \[or so\].]]"
    )
    assert unmarked(copy) == text


def test_quoted_lines_are_not_held_against_the_scores_and_are_flagged() -> None:
    of = evidence(pneumothorax=False, pleural_effusion=True)
    text = (
        "The other report says of\n> IMPRESSION: Large pneumothorax. No effusion.\n> HISTORY:\n"
        ">No effusion\n\nNo pneumothorax.\n>3 cm pneumothorax."
    )
    found = [(c.sentence, c.verdict, c.flags) for c in check_draft(text, of)]
    assert found == [
        ("The other report says of", "not-checkable", ()),
        ("> IMPRESSION: Large pneumothorax.", "not-checkable", ("quoted",)),
        ("No effusion.", "not-checkable", ("quoted",)),
        ("> HISTORY:", "not-checkable", ("quoted",)),
        (">No effusion", "not-checkable", ("quoted",)),
        ("No pneumothorax.", "agree", ()),
        (">3 cm pneumothorax.", "contradict", ()),
    ]
    assert flips("> There is a pneumothorax.", "No pneumothorax.", of) == ()


def test_copied_sentences_are_not_held_against_the_scores_and_are_flagged_and_marked() -> None:
    of = evidence(pneumothorax=False)
    text = "There is a pneumothorax. Large pneumothorax, 3 cm. Otherwise normal."
    checks = check_draft(text, of, [text.index("Large")])
    assert [(c.verdict, c.flags) for c in checks] == [
        ("contradict", ()),
        ("not-checkable", ("copied-from-similar-case",)),
        ("not-checkable", ()),
    ]
    copy = marked(text, checks)
    assert "[[contradicts the score of pneumothorax 0.04][There is" in copy
    assert "[[copied from a similar case][Large pneumothorax, 3 cm.]]" in copy
    assert unmarked(copy) == text


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("The tube ends 4.2 cm. above it. Dr. Ray was told.", None),
        ("Dr. Ray saw a 2.5 cm nodule. It is solid.", ["Dr. Ray saw a 2.5 cm nodule.", "It is solid."]),
        ("1. No effusion.\n2. No edema.", ["1. No effusion.", "2. No edema."]),
        ("- No effusion\n- No edema", ["- No effusion", "- No edema"]),
        ("The lungs\nare clear. Heart\nis big.", ["The lungs\nare clear.", "Heart\nis big."]),
        ("No pneumothorax at 3 p.m. today.", ["No pneumothorax at 3 p.m. today."]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_sentences(text: str, sentences: list[str] | None) -> None:
    found = [text[s.start : s.end] for s in split(text, frozenset())]
    if sentences is None:
        assert found[-1] == "Dr. Ray was told."
    else:
        assert found == sentences


WORDS = st.sampled_from(
    [
        *(
            "no",
            "not",
            "without",
            "effusion",
            "pneumothorax",
            "heart",
            "lungs",
            "clear",
            "normal",
            "enlarged",
        ),
        *(
            "is",
            "are",
            "seen",
            ",",
            ";",
            ":",
            ".",
            "?",
            "\n",
            "-",
            ">",
            "(",
            ")",
            "or",
            "and",
            "but",
            "possible",
        ),
        *("cannot be excluded", "left", "right", "Indication", "Findings", "Dr.", "2.5", "cm", "unchanged"),
        *("[[", "]]", "\\", "[", "]"),
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=60).map(" ".join))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_any_text_can_be_checked_and_its_offsets_hold(text: str) -> None:
    of = evidence(pneumothorax=True, pleural_effusion=False, cardiomegaly=None, loose_screw=True)
    checks = check_draft(text, of)
    assert all(check.sentence == text[check.start : check.end] for check in checks)
    assert [check.start for check in checks] == sorted(check.start for check in checks)
    covered: set[int] = set()
    for check in checks:
        covered.update(range(check.start, check.end))
    left = "".join(letter for place, letter in enumerate(text) if place not in covered)
    assert not left.replace(",", "").replace(";", "").strip()
    assert unmarked(marked(text, checks)) == text


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_sentences_and_the_space_between_are_the_text(text: str) -> None:
    rebuilt, position = "", 0
    for sentence in split(text, frozenset({"findings", "indication"})):
        gap = text[position : sentence.start]
        assert not gap.strip()
        rebuilt += gap + text[sentence.start : sentence.end]
        position = sentence.end
    assert rebuilt + text[position:] == text
    assert not text[position:].strip()


UNITS = [
    *(
        "no ",
        "effusion, ",
        "effusion absent ",
        "heart normal ",
        "lungs are clear, ",
        "effusion or ",
        "are absent ",
    ),
    *(
        "?",
        "a. ",
        "\n",
        "A:\n",
        "(",
        "may represent effusion or pneumothorax ",
        "| effusion | no ",
        "differential includes effusion, edema, ",
        "kein pnuemothorax ",
        "(effusion no) , ",
        "[ ] + -ve ",
        "previous effusion ",
        "x",
        " ",
        "Dr. ",
        "x-",
        "\u0301",
    ),
]
COUNT = """
import sys
from medsiglip.medgemma.records import Evidence, Finding
from medsiglip.medgemma.checks.verify import check_draft
labels = ("pleural-effusion", "pneumothorax", "cardiomegaly")
found = tuple(Finding(label, 0.9, True, "prompts:x", 1) for label in labels)
of = Evidence("1", "s", "DX", None, "chest-xray", found)
def steps(text):
    count = 0
    def count_lines(frame, event, argument):
        nonlocal count
        count += 1
        return count_lines
    sys.settrace(count_lines)
    check_draft(text, of)
    sys.settrace(None)
    return count
check_draft("No effusion. The heart is normal.", of)
for unit in {units!r}:
    small, large = (steps((unit * (size // len(unit) + 1))[:size]) for size in (1000, 4000))
    assert large <= 5.5 * small + 2000, (unit, small, large)
    check_draft((unit * 100_000)[:100_000], of)
"""


@pytest.mark.long
def test_the_work_grows_no_faster_than_the_text() -> None:
    code = COUNT.replace("{units!r}", repr(UNITS))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True, timeout=300)
