"""Reads a draft back from its marked copy."""

from __future__ import annotations

import re

_MARK = re.compile(
    r"\\([\\\[\]])"
    r"|\[\[(?:(?:contradicts|is doubtful by) the score of [^\[\]\\]*|copied from a similar case)\]\["
    r"|(\]\])"
)


def unmarked(text: str) -> str:
    """The draft that `marked` was given."""
    return _MARK.sub(lambda found: found[1] or "", text)
