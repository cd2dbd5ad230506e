"""Sentences in other languages and scripts are never judged, and English ones are."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import pytest

from medsiglip.medgemma.checks.language import (
    foreign_sentences,
    is_english,
    language,
    other_language,
)
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.records import Evidence, Finding

CORPUS = Path(__file__).parent / "corpus"
LANGUAGES = tomllib.loads((CORPUS / "languages.toml").read_text(encoding="utf-8"))
FINDINGS = ("pneumothorax", "pleural-effusion", "nodule", "edema", "consolidation", "fracture")
OF = Evidence(
    "1.2.3", "s", "DX", "CHEST", "chest-xray", tuple(Finding(f, 0.9, True, "prompts:x", 1) for f in FINDINGS)
)


def sentences_in(code: str) -> list[str]:
    given = LANGUAGES[code]
    framed = [frame.format(thing) for frame in given["frames"] for thing in given["things"]]
    return [*framed, *given["sentences"]]


def english_sentences() -> list[str]:
    found = []
    for name in ("first.csv", "second.csv", "held_out.csv", "hard_first.csv", "hard_held_out.csv"):
        lines = (CORPUS / name).read_text(encoding="utf-8").splitlines()
        found += [line.split("|")[1] for line in lines if line and not line.startswith("#")]
    return found


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_sentences_in_another_language_are_flagged_and_not_judged(code: str) -> None:
    sentences = sentences_in(code)
    missed = []
    for sentence in sentences:
        checks = check_draft(sentence, OF)
        flagged = all("other-language" in check.flags for check in checks)
        if not flagged or any(check.verdict != "not-checkable" for check in checks):
            missed.append(sentence)
    print(f"\n{code}: {len(sentences)} sentences, missed {missed}")
    assert len(sentences) >= 100
    assert len(missed) <= 0.05 * len(sentences)


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_the_language_of_a_text_as_a_whole(code: str) -> None:
    text = "\n".join(sentences_in(code)[::9])
    assert language(text) == code
    assert other_language(text) not in (None, "another language")
    assert len(foreign_sentences(text)) == len({s.start for s in foreign_sentences(text)}) > 5


def test_english_sentences_of_reports_are_english() -> None:
    sentences = english_sentences()
    flagged = [sentence for sentence in sentences if not is_english(sentence)]
    print(f"\n{len(sentences)} sentences, flagged {flagged}")
    assert len(sentences) >= 1000
    assert len(flagged) <= 0.01 * len(sentences)


def test_english_sentences_of_clinical_notes_are_english(test_data: Path) -> None:
    path = test_data / "text" / "negex_half.csv"
    if not path.exists():
        pytest.skip("the folder of data has no text/negex_half.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        sentences = [row["sentence"] for row in csv.DictReader(lines)]
    assert sum(not is_english(sentence) for sentence in sentences) <= 0.01 * len(sentences)


def test_a_sentence_that_does_not_tell_follows_its_text() -> None:
    german = "Das Herz ist normal groß. Pneumothorax. Kein Erguss."
    assert {c.flags for c in check_draft(german, OF)} == {("other-language",)}
    (check,) = check_draft("Pneumothorax.", OF)
    assert (check.finding, check.verdict, check.flags) == ("pneumothorax", "agree", ())


def test_one_foreign_sentence_leaves_the_others_as_they_are() -> None:
    checks = check_draft("There is a pneumothorax. Kein Pneumothorax. No effusion.", OF)
    assert [(c.finding, c.verdict, "other-language" in c.flags) for c in checks] == [
        ("pneumothorax", "agree", False),
        (None, "not-checkable", True),
        ("pleural-effusion", "contradict", False),
    ]


def test_texts_without_a_language() -> None:
    assert language("") == language("1. 2.5") == language("Pneumothorax.") == ""
    assert other_language("No pneumothorax is seen.") is None
    assert is_english("")
    assert foreign_sentences("") == ()


@pytest.mark.parametrize(
    "sentence",
    ["Pneumothorax: negativ.", "Pneumothorax negativo.", "Pneumothorax: positivo", "Pneumothorax absenta"],
)
def test_words_a_letter_away_from_english_are_no_typing_errors_of_it(sentence: str) -> None:
    [check] = check_draft(sentence, OF)
    assert (check.verdict, check.flags) == ("not-checkable", ("other-language",))
