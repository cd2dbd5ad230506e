"""Sentences whose negation, hedge or wording is hard to read, and NegEx's public sentences of clinical notes.

Sources: NegEx (Chapman 2001), test set of github.com/chapmanbe/negex.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.records import Check, Evidence, Finding

CORPUS = Path(__file__).parent / "corpus"
RIGHT = {"present": True, "absent": False, "open": None}


def checks_of(sentence: str, finding: str) -> list[Check]:
    of = Finding(finding, 0.9, True, "prompts:generic", 1)
    found = check_draft(sentence, Evidence("1.2.3", "space", "generic", None, "generic", (of,)))
    return [check for check in found if check.finding == finding]


def polarity_of(found: list[Check]) -> bool | str | None:
    """What the checks say together; "both" where one says present and another absent."""
    sides = {check.polarity for check in found} - {None}
    if len(sides) == 2:
        return "both"
    return sides.pop() if sides else None


def is_right(sentence: str, finding: str, right: str, hedged: bool) -> bool:
    found = checks_of(sentence, finding)
    return polarity_of(found) is RIGHT[right] and any(check.hedged for check in found) == hedged


def share_right(rows: list[tuple[str, str, str, str]]) -> float:
    wrong = [row for row in rows if not is_right(row[0], row[1], row[2], row[3] == "1")]
    print(f"\n{len(rows)} sentences, wrong: {wrong}")
    return 1 - len(wrong) / len(rows)


@pytest.mark.parametrize("name", ["first", "held_out", "last", "more", "independent"])
def test_hard_sentences_of_the_corpus_are_read(name: str) -> None:
    lines = (CORPUS / f"hard_{name}.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("|")[1:] for line in lines if line and not line.startswith("#")]
    assert len(rows) >= 70
    assert share_right([(s, f, r, h) for s, f, r, h in rows]) >= 0.95


def test_hard_sentences_of_public_reports_of_errors_are_read(test_cases: Path) -> None:
    path = test_cases / "sentences.csv"
    if not path.exists():
        pytest.skip("the folder of cases has no sentences.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = [(r["sentence"], r["finding"], r["right"], r["hedged"]) for r in csv.DictReader(lines)]
    assert len(rows) >= 80
    assert share_right(rows) >= 0.95


def test_negated_conditions_of_clinical_notes_are_read_as_absent(test_data: Path) -> None:
    path = test_data / "text" / "negex_half.csv"
    if not path.exists():
        pytest.skip("the folder of data has no text/negex_half.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    negated = {i for i, row in enumerate(rows) if row["negation"] == "Negated"}
    absent = {
        i for i, row in enumerate(rows) if polarity_of(checks_of(row["sentence"], row["condition"])) is False
    }
    right = len(negated & absent)
    print(f"\n{len(rows)} sentences, {len(negated)} Negated, {len(absent)} read as absent, {right} both")
    assert len(negated) >= 200
    assert right >= 0.98 * len(absent)
    assert right >= 0.92 * len(negated)
