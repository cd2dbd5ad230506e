"""What people write in several ways is one term, and a text of any length takes work in proportion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.index.catalogue.full_text.terms import (
    JOINED,
    MOST_BYTES,
    MOST_TERM_CHARACTERS,
    compounds,
    folded,
    stem,
    stored,
    terms_of,
)
from tests.linear_work import check_growth

ALIKE = {
    "case": ("Pleural EFFUSION", "pleural effusion"),
    "plural": ("opacities masses reflexes effusions", "opacity mass reflex effusion"),
    "umlaut": ("Ergüsse", "Ergusse"),
    "umlaut written apart": ("Ergu\u0308sse", "Ergüsse"),
    "sharp s": ("Größe", "GRÖSSE"),
    "ligature": ("œdème", "oedeme"),
    "small ligature": ("\ufb01brosis", "fibrosis"),
    "stroke": ("Ł ø đ", "l o d"),
    "hyphens": ("ground\u2010glass ground\u2011glass", "ground-glass ground-glass"),
    "soft hyphen": ("pneumo\u00adthorax", "pneumothorax"),
    "possessive": ("Crohn's Crohn\u2019s", "crohn crohn"),
    "decimal comma": ("1,5 cm", "1.5 cm"),
    "measure": ("5mm 1.5cm", "5 mm 1.5 cm"),
    "underscore": ("left_lung", "left lung"),
    "punctuation": ("effusion,pneumothorax;(nodule).", "effusion pneumothorax nodule"),
    "article": ("l'épanchement", "l epanchement"),
}
STORED = {
    "ground-glass": ["ground", "glass", ".groundglass"],
    "non-small-cell": ["non", "small", "cell", ".nonsmallcell"],
    "T2-weighted": ["t2", "weighted", ".t2weighted"],
    "COVID-19": ["covid", "19", ".covid19"],
    "5-mm": ["5", "mm", ".5mm"],
    "x-rays": ["x", "ray", ".xray"],
    "and/or": ["and", "or"],
    "01.03.2024": ["01.03.2024"],
    "2024-03-01": ["2024", "03", "01", ".20240301"],
    "a - b": ["a", "b"],
    "-a-": ["a"],
    "a--b": ["a", "b"],
    "a-b-c-d-e-f-g": list("abcdefg"),
    "胸水": ["胸", "水"],
    "диагнозы": ["диагнозы"],
    "": [],
    "\0 _ ' - .": [],
}
STEMS = {
    "nodules": "nodule",
    "biopsies": "biopsy",
    "masses": "mass",
    "boxes": "box",
    "patches": "patch",
    "diagnosis": "diagnosis",
    "pelvis": "pelvis",
    "thrombus": "thrombus",
    "mass": "mass",
    "gas": "gas",
    "us": "us",
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_one_word_is_one_term(name: str) -> None:
    left, right = ALIKE[name]
    assert terms_of(left) == terms_of(right)
    assert terms_of(left).number == len(right.replace("-", " ").replace("'s", "").split())


@pytest.mark.parametrize("text", STORED)
def test_hyphens_slashes_and_numbers(text: str) -> None:
    expected = STORED[text]
    assert terms_of(text).stored == "".join(f" {term} " for term in expected)
    assert terms_of(text).number == sum(not term.startswith(".") for term in expected)


@pytest.mark.parametrize("word", STEMS)
def test_plurals(word: str) -> None:
    assert stem(word) == STEMS[word]


def test_what_is_written_together_stays_together() -> None:
    found = [one.terms for one in compounds("120/80 T1/T2 1.5cm x-ray 3/1/2024")]
    assert found == [("120", "80"), ("t1",), ("t2",), ("1.5", "cm"), ("x", "ray"), ("3", "1", "2024")]


@given(st.text(max_size=200))
def test_terms_are_as_every_database_takes_them(text: str) -> None:
    """In words between blanks, without upper case, quotation marks or characters that a database refuses."""
    terms = terms_of(text)
    words = terms.stored.split("  ")
    assert terms.stored == "" or terms.stored == f" {'  '.join(one.strip() for one in words)} "
    for word in terms.stored.split():
        assert word.removeprefix(".").replace(".", "").isalnum(), word
        assert len(word) <= MOST_TERM_CHARACTERS + 1
        assert word.isprintable()
        assert not any("A" <= letter <= "Z" for letter in word)
    assert folded(folded(text)) == folded(text)


def test_a_long_text_is_cut_and_a_long_word_too() -> None:
    terms = terms_of("é-" + "wörd-" * (MOST_BYTES // 4) + " end")
    assert len(terms.stored.encode()) <= MOST_BYTES
    assert terms.number > MOST_BYTES // 10
    assert terms_of("x" * 1000).stored == stored(["x" * MOST_TERM_CHARACTERS])


@pytest.mark.parametrize(
    "run", ["a", "a ", "a-", "1.", "1,", "1/", "5mm", "'s ", "é", "-", "胸", "\u00ad", "ies "]
)
def test_work_grows_with_the_text(run: str) -> None:
    check_growth(lambda size: run * size, terms_of)


@given(st.lists(st.sampled_from(["x-ray", "'s", "5mm", "1,5", "/", "-", " ", "\n", "\xa0", "é", "胸", "a"])))
def test_a_text_has_the_terms_of_its_words_one_by_one(parts: list[str]) -> None:
    text = "".join(parts)
    alone = [terms_of(word) for word in text.split()]
    together = [term for term in terms_of(text).stored.split() if not term.startswith(JOINED)]
    assert together == [term for one in alone for term in one.stored.split() if not term.startswith(JOINED)]
    assert terms_of(text).number == sum(one.number for one in alone)
    assert together == [term for compound in compounds(text) for term in compound.terms]
