"""Denials in tables, signs and answers, and words with typing errors."""

from __future__ import annotations

import pytest

from medsiglip.medgemma.checks.spelling import corrected
from medsiglip.medgemma.checks.terms import words
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.records import Evidence, Finding

FINDINGS = ("pneumothorax", "pleural-effusion", "edema", "nodule")
OF = Evidence(
    "1.2.3", "s", "DX", "CHEST", "chest-xray", tuple(Finding(f, 0.9, True, "prompts:x", 1) for f in FINDINGS)
)
SHORT = {"P": "pneumothorax", "E": "pleural-effusion", "D": "edema", "N": "nodule"}


def read(text: str) -> str:
    """What a text says of each finding: "P- E+ D?"."""
    sign = {True: "+", False: "-", None: "?"}
    names = {finding: short for short, finding in SHORT.items()}
    said = {c.finding: sign[c.polarity] for c in check_draft(text, OF) if c.finding in names}
    return " ".join(f"{names[name]}{said[name]}" for name in FINDINGS if name in said)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("| Pneumothorax | No |", "P-"),
        ("| Pneumothorax | Yes |", "P+"),
        ("|Pneumothorax|absent|", "P-"),
        ("Pneumothorax | none", "P-"),
        ("| No | pneumothorax |", "P-"),
        ("| Pneumothorax | ? |", "P?"),
        ("| Pneumothorax | - |\n| Effusion | + |", "P- E+"),
        ("| Finding | Result |\n|---|:-:|\n| Pneumothorax | Not seen |\n| Edema | Mild |", "P- D+"),
        (
            "| Finding | Present | Absent |\n|---|---|---|\n| Pneumothorax | | x |\n| Effusion | x | |",
            "P- E+",
        ),
        ("| Finding | Present |\n|---|---|\n| Pneumothorax | No |\n| Effusion | Yes |", "P- E+"),
        ("| | Yes | No |\n|---|---|---|\n| Pneumothorax | | ✓ |\n| Effusion | ✓ | |", "P- E+"),
        ("| Pneumothorax | No | as before |\n| Effusion | Small | on the left |", "P- E+"),
        ("| Pneumothorax | No | Effusion | Yes |", "P- E+"),
        ("| **Pneumothorax** | **No** |", "P-"),
        ("Pneumothorax\tno", "P-"),
        ("Pneumothorax ..... no", "P-"),
    ],
)
def test_tables(text: str, says: str) -> None:
    assert read(text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Pneumothorax: -", "P-"),
        ("Pneumothorax: −", "P-"),
        ("Pneumothorax (-), effusion (+)", "P- E+"),
        ("Pneumothorax -, effusion +", "P- E+"),
        ("Pneumothorax -ve. Effusion +ve.", "P- E+"),
        ("Pneumothorax ✗, effusion ✓", "P- E+"),
        ("Pneumothorax: neg., effusion: pos.", "P- E+"),
        ("Neg. for pneumothorax.", "P-"),
        ("Pneumothorax (neg)", "P-"),
        ("[ ] Pneumothorax\n[x] Effusion", "P? E+"),
        ("☐ Pneumothorax\n☑ Effusion", "P? E+"),
        ("Pneumothorax +/-", "P?"),
        ("Pneumothorax (?)", "P?"),
        ("Pneumothorax: no\nEffusion: yes", "P- E+"),
        ("pneumothorax: no\neffusion: yes", "P- E+"),
        ("- Pneumothorax: No\n- Effusion: Present", "P- E+"),
        ("* **Pneumothorax:** Absent\n* **Effusion:** Small", "P- E+"),
        ("Pneumothorax - no, effusion - yes", "P- E+"),
        ("Pneumothorax – none", "P-"),
        ("Pneumothorax? No. Effusion? Yes.", "P- E+"),
        ("Pneumothorax: n/a", "P?"),
        ("Pneumothorax (no), effusion (present)", "P- E+"),
        ("Pneumothorax (not seen)", "P-"),
        ("Not seen: pneumothorax, effusion.", "P- E-"),
        ("Absent: pneumothorax, effusion. Present: edema.", "P- E- D+"),
        ("The following are absent: pneumothorax, effusion.", "P- E-"),
        ("Pertinent negatives: pneumothorax and effusion.", "P- E-"),
        ("Pneumothorax: ❌", "P-"),
        ("Pneumothorax / effusion: none", "P- E-"),
        ("Pneumothorax/effusion: no", "P- E-"),
        ("- Pneumothorax\n- Effusion", "P+ E+"),
        ("A 2-3 cm nodule.", "N+"),
    ],
)
def test_signs_and_answers(text: str, says: str) -> None:
    assert read(text) == says


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(("pnuemothorax", "pneumothorax"), ("efussion", "effusion"), ("atelectesis", "atelectasis")),
        *(("cardiomegally", "cardiomegaly"), ("consolodation", "consolidation"), ("negaitve", "negative")),
        *(
            ("infusion", "infusion"),
            ("diffusion", "diffusion"),
            ("profusion", "profusion"),
            ("edmea", "edema"),
        ),
        *(("biventricular", "biventricular"), ("hypotension", "hypotension"), ("module", "module")),
        *(("interventricular", "interventricular"), ("confusion", "confusion")),
    ],
)
def test_typing_errors_of_long_words_that_are_no_words(written: str, meant: str) -> None:
    assert [word.text for word in corrected(words(written))] == [meant]


def test_a_word_of_the_users_own_label_is_no_typing_error() -> None:
    assert [word.text for word in corrected(words("efusion"), {"efusion"})] == ["efusion"]
    assert [word.text for word in corrected(words("efusion"))] == ["effusion"]


def test_a_strong_hedge_is_present_and_a_low_score_makes_it_doubtful() -> None:
    low = Evidence(
        "1.2.3", "s", "DX", "CHEST", "chest-xray", (Finding("pneumonia", 0.05, False, "prompts:x", 1),)
    )
    for text in (
        "Suspicious for pneumonia.",
        "Findings compatible with pneumonia.",
        "This suggests pneumonia.",
    ):
        (check,) = [c for c in check_draft(text, low) if c.finding == "pneumonia"]
        assert (check.polarity, check.hedged, check.verdict) == (True, True, "doubtful")
    (check,) = check_draft("There is pneumonia.", low)
    assert (check.hedged, check.verdict) == (False, "contradict")


@pytest.mark.parametrize(
    ("region", "modality", "finding"),
    [("chest", "CT", "lung-lesion"), ("breast", "MG", "mass"), ("head", "MR", "brain-tumour")],
)
def test_a_mass_is_one_of_the_part_of_the_body(region: str, modality: str, finding: str) -> None:
    labels = ("lung-lesion", "mass", "brain-tumour")
    scored = tuple(Finding(label, 0.9, True, "prompts:x", 1) for label in labels)
    of = Evidence("1.2.3", "s", modality, None, "generic", scored, region=region)
    assert [c.finding for c in check_draft("There is a mass.", of)] == [finding]
