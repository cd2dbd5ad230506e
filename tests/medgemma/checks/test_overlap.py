"""Which sentences of a text are another patient's words, and which are words that reports use of anybody."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.medgemma.checks.overlap import overlaps

CORPUS = Path(__file__).parent / "corpus"
OTHER = """\
FINDINGS: A gossypiboma-shaped shadow lies beside the azygos fissure. There is a small left pleural effusion.
No pneumothorax. The nodule in the lingula measures 17 mm.
Patient Quirinia Vexelmann, MRN 77-31-9042, telephone +49 30 5550 1477, mail q.vexelmann@example.org, was
told on 17 March 2021. Discussed with Dr. Gray.
"""


TEXTS = st.text(max_size=200) | st.lists(st.sampled_from(OTHER.split()), max_size=30).map(" ".join)


def kinds(text: str, *own: str, other: str = OTHER) -> list[str]:
    return [found.kind for found in overlaps(text, [other], own)]


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("A gossypiboma-shaped shadow lies beside the azygos fissure.", "wording"),
        ("a GOSSYPIBOMA shaped shadow, lies beside the\nazygos fissure", "wording"),
        ("Gossypiboma-shaped shadow beside the azygos fissure.", "wording"),
        ("Impression: a gossypiboma-shaped shadow lies behind the azygos fissure.", "wording"),
        ("2. There is a small left pleural effusion.", "place"),
        ("There is a tiny nodule; there is a small left pleural effusion.", "place"),
        ("No pneumothorax.", "stock"),
        ("Vexelmann has clear lungs.", "identity"),
        ("The lungs of Quirinia are clear.", "identity"),
        ("MRS. VEXELMANN HAS CLEAR LUNGS.", "identity"),
        ("The lungs are clear; call +49 (30) 5550-1477.", "identity"),
        ("The lungs are clear; call 493055501477.", "identity"),
        ("Clear lungs in 77319042.", "identity"),
        ("Write to Q.Vexelmann@example.org.", "identity"),
        ("Compare with the film of March 2021.", "identity"),
        ("The largest one measures 17 mm.", "identity"),
        ("Seen by Dr. Gray as well.", "identity"),
    ],
)
def test_each_kind_of_copy(sentence: str, kind: str) -> None:
    assert kinds(sentence) == [kind]


@pytest.mark.parametrize(
    "sentence",
    [
        "There is a nodule in the lower lobe on the right.",
        "The azygos fissure is normal.",
        "A small effusion and no consolidation.",
        "The effusion measures 8 mm.",
        "Gray matter is normal.",
        "1. The heart is not enlarged.",
        "Clear lungs on 2 views.",
        "",
    ],
)
def test_words_of_ones_own_are_no_copy(sentence: str) -> None:
    assert kinds(sentence) == []


def test_what_the_patients_own_texts_say_is_no_copy() -> None:
    text = "The nodule in the lingula measures 17 mm. Quirinia Vexelmann has no pneumothorax."
    assert kinds(text) == ["identity", "identity"]
    assert kinds(text, "Prior: the nodule in the lingula measures 17 mm.") == ["identity"]
    assert kinds(text, "the nodule in the lingula measures 17 mm", "of Mrs. Quirinia Vexelmann") == []
    assert kinds("A film of 2021.", "2021-05-06") == []
    assert overlaps(text, []) == overlaps(text, ["", "  "]) == ()


def test_an_overlap_names_its_sentence_and_the_text_that_holds_it() -> None:
    text = "The lungs are clear. Seen by Dr. Gray."
    [found] = overlaps(text, ["Nothing.", OTHER])
    assert (text[found.start : found.end], found.source) == ("Seen by Dr. Gray.", 1)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ("Kein Erguss. Zustand nach Gossypibom-Entfernung.", "Zustand nach Gossypibom-Entfernung."),
        ("Patientin Jürgen-Müßig, Åse", "Befund von Ju\u0308rgen-Müssig."),
        ("左肺に17mmの結節影を認める。", "左肺に17mmの結節影を認める。"),
        ("У пациентки Ивановой расширено сердце.", "У пациентки Ивановой расширено сердце."),
        ("Name: KOWALCZYK^JANINA", "Janina Kowalczyk has clear lungs."),
        ("PATIENT KOWALCZYK, JANINA. LUNGS CLEAR.", "The film of Janina shows clear lungs."),
    ],
)
def test_other_languages_and_ways_to_write_a_name(other: str, sentence: str) -> None:
    assert set(kinds(sentence, other=other)) <= {"identity", "wording"}
    assert kinds(sentence, other=other)


def test_copies_among_sentences_of_reports_are_found_and_few_others() -> None:
    """On the sentences of the corpus, none of which stands in both halves, as reports of seven."""
    chest = {
        file.stem: [line.split("|")[1] for line in file.read_text().splitlines() if line[:6] == "chest-"]
        for file in CORPUS.glob("*.csv")
    }
    rng = random.Random(7)
    known = [*chest["first"], *chest["second"]]
    strangers = [one for one in chest["held_out"] if one not in known]
    false, missed, copies = 0, [], 0
    for _ in range(200):
        others = ["\n".join(rng.sample(known, 7)) for _ in range(5)]
        reply = "\n".join(rng.sample(strangers, 7))
        false += any(found.kind != "stock" for found in overlaps(reply, others))
        copied = rng.choice(others[3].split("\n"))
        if len(copied.split()) >= 5:
            copies += 1
            text = f"{reply}\n{copied}"
            if not any(found.end > len(reply) for found in overlaps(text, others)):
                missed.append(copied)
    assert false <= 0.05 * 200
    assert copies > 100
    assert missed == []


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=2))
def test_any_text_can_be_compared(text: str, others: list[str], own: list[str]) -> None:
    last = 0
    for found in overlaps(text, others, own):
        assert last <= found.start < found.end <= len(text)
        assert 0 <= found.source < len(others)
        last = found.end
    assert overlaps(text, others, [*own, text]) == ()


COUNT = """
import sys
from medsiglip.medgemma.checks.overlap import overlaps
def steps(text):
    count = 0
    def count_lines(frame, event, argument):
        nonlocal count
        count += 1
        return count_lines
    sys.settrace(count_lines)
    overlaps(text, [text[1:]], [text[:50]])
    sys.settrace(None)
    return count
overlaps("No effusion 12.", ["No effusion 12. Dr. Gray."], [])
for unit in {units!r}:
    small, large = (steps((unit * (size // len(unit) + 1))[:size]) for size in (400, 1600))
    assert large <= 5.5 * small + 1000, (unit, small, large)
    long = (unit * 20_000)[:20_000]
    overlaps(long, [long[1:], long[:-1]], [long[:1000]])
"""
UNITS = [
    "There is no effusion. ",
    "effusion ",
    "a",
    "a.",
    "A-",
    "Dr. Gray ",
    "1",
    "1 ",
    "12.",
    "a@",
    "@",
    "\n",
    ";x ",
    "A^",
    "肺",
    "> ",
]


def test_the_work_grows_no_faster_than_the_text() -> None:
    code = COUNT.replace("{units!r}", repr(UNITS))
    env = {**os.environ, "PYTHONPATH": str(CORPUS.parents[2])}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=300)
