"""Words next to each other in report texts: what the filter `report=` asks for."""

from __future__ import annotations

import re
from collections.abc import Collection

from sqlalchemy import ColumnElement, or_, select

from medsiglip.index.catalogue.draft_schema import report_texts
from medsiglip.index.catalogue.one_of import listed
from medsiglip.index.catalogue.schema import images

LONGEST_PHRASE = 1000
"""Characters of a phrase to search for: each may be compared at every place of a text."""


def words_of(text: str) -> str:
    """The words of a text in lower case, each between spaces; empty if there is none."""
    words = re.findall(r"\w+", text.casefold())
    return f" {' '.join(words)} " if words else ""


def says_any(phrases: Collection[str]) -> ColumnElement[bool]:
    """The condition that a text of an image's study contains one of the phrases, word by word; an empty
    phrase means a study without any text. Never NULL.
    """
    wanted = [words for phrase in phrases if (words := words_of(phrase))]
    ways: list[ColumnElement[bool]] = []
    if len(wanted) < len(phrases):
        texts = select(report_texts.c.study_id).where(report_texts.c.study_id == images.c.study_id)
        ways.append(~texts.correlate(images).exists())
    if wanted:
        # Of LIKE's wildcards a word may hold the underscore alone.
        looked_for = listed([words.replace("_", "/_") for words in wanted])
        holding = report_texts.c.words.contains(looked_for.c.value, escape="/")
        found = select(report_texts.c.study_id).select_from(report_texts.join(looked_for, holding))
        ways.append(images.c.study_id.in_(found))
    return or_(*ways)
