"""Whatever a person writes is a question or is refused in a sentence; nothing of it is syntax."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.index.catalogue.full_text.words_query import (
    MOST_CHARACTERS,
    MOST_WORDS,
    STOP_WORDS,
    WordsQuery,
    read_words,
)
from medsiglip.index.errors import CatalogError
from tests.linear_work import check_growth, refusal

READ: dict[str, tuple[list[str], list[str]]] = {
    "pleural effusions": ([" pleural | .pleural ", " effusion | .effusion "], []),
    "the effusion of the lung": ([" effusion | .effusion ", " lung | .lung "], []),
    "no effusion": ([" no | .no ", " effusion | .effusion "], []),
    '"evidence of effusion"': ([" evidence  of  effusion "], []),
    '"evidence': ([" evidence | .evidence "], []),
    "\u201cno nodule\u201d": ([" no  nodule "], []),
    "mass -nodule": ([" mass | .mass "], [" nodule | .nodule "]),
    'mass -"small nodule" -node*': ([" mass | .mass "], [" small  nodule ", " node| .node"]),
    "mass \u2013nodule \u2212node 3\u20134": (
        [" mass | .mass ", " 3 | .3 ", " 4 | .4 "],
        [" nodule | .nodule ", " node | .node "],
    ),
    "mass -the": ([" mass | .mass "], []),
    "ground-glass": ([" ground  glass | groundglass "], []),
    "on-call": ([" on  call | oncall "], []),
    "and/or lung/liver": ([" lung | .lung ", " liver | .liver "], []),
    "effusion,nodule": ([" effusion | .effusion ", " nodule | .nodule "], []),
    "cardio*": ([" cardio| .cardio"], []),
    "opacities*": ([" opacities| opacity | .opacities"], []),
    "x-ra*": ([" x  ra| xra"], []),
    "5mm 1,5cm": ([" 5  mm ", " 1.5  cm "], []),
    "胸水": ([" 胸  水 "], []),
    "mass MASS masses": ([" mass | .mass "], []),
    "nodule AND (mass OR lung) NEAR/2 ^x {y} terms:z": (
        [f" {word} | .{word} " for word in ("nodule", "mass", "lung", "near", "2", "x", "y", "term", "z")],
        [],
    ),
}
REFUSED = {
    "": "no word",
    " \n": "no word",
    '"" - * --': "no word",
    "the of and": "quotation marks",
    "-mass": "left out",
    "a*": "2 letters",
    "x" * (MOST_CHARACTERS + 1): "1000 characters",
    "x" * 100_000: "1000 characters",
    " ".join(f"w{number}" for number in range(MOST_WORDS + 1)): "32 words",
}


def patterns(query: WordsQuery) -> tuple[list[str], list[str]]:
    wanted, excluded = (
        ["|".join(form.pattern for form in one.forms) for one in part]
        for part in (query.wanted, query.excluded)
    )
    return wanted, excluded


@pytest.mark.parametrize("words", READ)
def test_what_is_asked_for(words: str) -> None:
    assert patterns(read_words(words)) == READ[words]


def test_what_is_found_is_named_as_it_was_written() -> None:
    words = 'Effusions "Small Nodules" COVID-19 cardio* T1/T2'
    written = [one.written for one in read_words(words).wanted]
    assert written == ["Effusions", "Small Nodules", "COVID-19", "cardio*", "t1", "t2"]


@pytest.mark.parametrize("words", REFUSED, ids=range(len(REFUSED)))
def test_what_holds_nothing_to_look_for_is_refused(words: str) -> None:
    with pytest.raises(CatalogError, match=REFUSED[words]) as caught:
        read_words(words)
    assert caught.value.code == "bad-query"
    assert len(str(caught.value)) < 400


def test_words_of_every_text_only_help() -> None:
    query = read_words("the effusion of THE lung -with")
    assert [one.written for one in query.helping] == ["the", "of"]
    assert [one.written for one in query.wanted] == ["effusion", "lung"]
    assert query.excluded == ()


def test_negations_are_looked_for() -> None:
    assert STOP_WORDS.isdisjoint({"no", "not", "nor", "without", "never", "none", "left", "right"})


@given(st.text(max_size=100))
def test_anything_is_a_question_or_is_refused(words: str) -> None:
    error = refusal(lambda: read_words(words))
    assert error is None or error.code == "bad-query"  # type: ignore[attr-defined]


@pytest.mark.parametrize("run", ['"', "-", "- ", '-"', "*", "a*", "a ", "a-", "a/", "的", '"a" ', "-a "])
def test_work_grows_with_the_words(run: str) -> None:
    check_growth(lambda size: (run * size)[:MOST_CHARACTERS], read_words, (100, 200, 400))
    refusal(lambda: read_words(run * 100_000))
