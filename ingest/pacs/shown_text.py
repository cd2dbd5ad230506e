"""Texts of a PACS, without what a terminal or a screen would obey instead of showing it."""

from __future__ import annotations

import re

# Controls, ends of lines and paragraphs, marks of direction (UAX #9, 2), and halves of characters, which no
# encoding can write. What joins letters (U+200C, U+200D) is part of names.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
LONGEST_TEXT = 1024


def shown_text(text: str) -> str:
    """The first characters of a text, without controls, and without spaces around it."""
    return _OBEYED.sub("", text).strip(" ")[:LONGEST_TEXT]
