"""Words and marks of a text, with the signs and abbreviations that stand for "negative" and "positive"."""

from __future__ import annotations

import re

_MINUS = r"[-‐-―−]"
_ENDS = r"(?=[ \t]{0,4}(?:[,;.|)/]|$))"
_ABBREVIATED = r"\.(?=\s*(?:[a-z,;)|]|$))"
_AFTER_COLON = r"(?<=[:|])[ \t]{0,4}"
_AFTER_WORD = r"(?<=[^\W\d_] )"
_NEGATIVE = "|".join(
    [
        rf"\((?:{_MINUS}|neg\.?)\)",
        rf"{_MINUS}ve\b",
        rf"(?<!\w)neg{_ABBREVIATED}",
        r"[✗✘❌]",
        rf"{_AFTER_COLON}{_MINUS}{_ENDS}",
        rf"{_AFTER_WORD}[-−]{_ENDS}",
    ]
)
_POSITIVE = "|".join(
    [
        r"\((?:\+{1,3}|pos\.?)\)",
        r"\+ve\b",
        rf"(?<!\w)pos{_ABBREVIATED}",
        r"[✓✔✅☑☒]",
        rf"{_AFTER_COLON}\+{{1,3}}{_ENDS}",
        rf"{_AFTER_WORD}\+{{1,3}}{_ENDS}",
    ]
)
_UNMARKED = r"\(\?\)|\[ ?\]|☐|\+/[-−]|±"
_SHORT_FORMS = r"(?:w/o|[rhes]/o|[cs]/[wp]|c/f|n/a)\b"
WORD = re.compile(
    rf"(?P<unmarked>{_UNMARKED})|(?P<negative>{_NEGATIVE})|(?P<positive>{_POSITIVE})"
    rf"|{_SHORT_FORMS}|[^\W_]+(?:[’'][^\W_]+)*|[^\w\s]",
    re.IGNORECASE,
)
"""One word, short form or mark; the group says which sign it is."""
SIGNS = {"negative": "negative", "positive": "positive", "unmarked": "?"}
"""How a sign is compared; an empty box to tick leaves its finding open."""
