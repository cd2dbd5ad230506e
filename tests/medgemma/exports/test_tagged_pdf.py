"""The structure of the pages, judged by the rules of PDF/UA-1, and what it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.export import export
from medsiglip.medgemma.exports.pages import Pages
from tests.medgemma.exports.exported_drafts import (
    ACCEPTED,
    FACTS,
    PLAIN,
    STANDINGS,
    TEXTS,
    Pictures,
    draft,
    needs_font,
    squeezed,
)
from tests.medgemma.exports.pdf_ua import TaggedPdf


def tagged(made: Any) -> TaggedPdf:
    return TaggedPdf(export(made, "pdf", FACTS, Pictures()).content)


@pytest.mark.long(every=7)
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("standing", STANDINGS)
def test_pages_of_every_standing_are_pdf_ua(standing: str, kind: str) -> None:
    needs_font("".join(TEXTS[kind]))
    assert tagged(STANDINGS[standing](TEXTS[kind])).problems == []


def test_two_hundred_findings_over_pages_are_one_table() -> None:
    made = draft(TEXTS["long"], findings=200, images=12)
    found = tagged(made)
    assert found.problems == []
    scores = found.document.all("Table")[0]
    rows = [[squeezed(found.text(cell)) for cell in row.children] for row in scores.all("TR")]  # type: ignore[arg-type]
    expected = [wording.FINDING_COLUMNS, *wording.finding_rows(made)]
    assert rows == [[squeezed(cell) for cell in row] for row in expected]


def test_headings_paragraphs_and_figures_are_what_they_are() -> None:
    made = draft(("FINDINGS:", "The heart is enlarged.", "IMPRESSION:", "Cardiomegaly."), between="\n")
    found = tagged(made)
    assert [found.text(one) for one in found.document.all("H1")] == ["Draft report"]
    sections = [found.text(one) for one in found.document.all("H2")]
    assert sections[0] == "Text"
    assert {"Images that drove the findings", "Scores of findings", "Provenance"} <= set(sections)
    assert [found.text(one) for one in found.document.all("H3")] == ["FINDINGS:", "IMPRESSION:"]
    paragraphs = [found.text(one) for one in found.document.all("P")]
    assert "Cardiomegaly." in paragraphs
    assert any(one.startswith("The heart is enlarged. [contradicts") for one in paragraphs)
    alternatives = [str(one.alternative) for one in found.document.all("Figure")]
    assert len(alternatives) == 2
    assert all("score" in one for one in alternatives)


def test_an_accepted_text_stands_in_the_paragraphs_as_it_is() -> None:
    found = tagged(draft(status="accepted", history=(ACCEPTED,)))
    assert squeezed(" ".join(PLAIN)) in [squeezed(found.text(one)) for one in found.document.all("P")]


def test_the_judge_sees_what_is_not_tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def nothing(self: Any, kind: str = "") -> Iterator[None]:
        yield

    monkeypatch.setattr(Pages, "artifact", nothing)
    problems = tagged(draft()).problems
    assert any("is not marked" in problem for problem in problems)


def test_the_judge_sees_a_picture_without_words_and_a_language_that_is_missing() -> None:
    whole = export(draft(), "pdf", FACTS, Pictures()).content
    without = whole.replace(b"/Lang (en)", b"/Long (en)").replace(b"/Alt (", b"/Ult (")
    assert len(without) == len(whole)
    problems = TaggedPdf(without).problems
    assert any("no language" in problem for problem in problems)
    assert any("without alternative" in problem for problem in problems)


def test_a_longer_row_than_a_page_is_cut() -> None:
    made = draft()
    long = dataclasses.replace(made.evidence, indication="word " * 2000)
    assert tagged(dataclasses.replace(made, evidence=long)).problems == []
