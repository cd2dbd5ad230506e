"""The grammar of `--where` expressions: a name, an operator and a value, found in one pass over the text.

` or ` separates such terms where one follows it, and `not ` before a term asks for the opposite.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from medsiglip.index.errors import CatalogError, excerpt

Kind = Literal["field", "label", "probe", "quality"]
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "~", "^="]

MAX_CHARACTERS = 256 * 1024
"""The longest expression; 4,000 UIDs fit."""
MAX_ALTERNATIVES = 10_000
"""The most alternatives of one expression, separated by bars."""
MAX_EXPRESSIONS = 100
"""The most expressions of one question; SQLite accepts conditions 1,000 deep (sqlite.org/limits.html)."""
MAX_NAME = 4096
"""The longest name of a label, probe or quality, in characters."""

_PREFIXES: dict[Kind, str] = {"label": "label:", "probe": "probe:", "quality": "quality.", "field": ""}
_CURES: dict[Kind, str] = {
    "label": "write it as label:NAME=1",
    "probe": "write it as probe:NAME>0.8, or probe:NAME/LABEL>0.8",
    "quality": "write it as quality.NAME=1",
    "field": "write it as field=value, for example modality=CT or patient_age>=60",
}
_OPERATORS: tuple[Operator, ...] = ("!=", "<=", ">=", "^=", "=", "<", ">", "~")
_SIGNS = "=<>!"
# Names of labels, probes and qualities may hold these two.
_SIGNS_OF_FIELDS = "=<>!~^"
_BAR = re.compile(r"(?<!\\)\|")
_OR = re.compile(r" or (?=(?:not )?(?:label:|probe:|quality\.|[a-z_]{1,40} ?[=<>!~^]))")
_NOT = "not "
# Comparing two names takes time proportional to the product of their lengths (difflib), so only some short
# names are compared.
_MOST_COMPARED, _MOST_SHOWN, _LONG = 1000, 60, 64


@dataclass(frozen=True, slots=True)
class Expression:
    """The parts of `text`: `name` without the prefix of its kind, `value` without surrounding blanks."""

    text: str
    kind: Kind
    name: str
    operator: Operator
    value: str

    def alternatives(self) -> list[str]:
        """The values between bars, without surrounding blanks; a bar within a value is written `\\|`.

        Raises `CatalogError` `bad-filter`.
        """
        parts = [part.replace("\\|", "|").strip() for part in _BAR.split(self.value)]
        if len(parts) > MAX_ALTERNATIVES:
            raise bad_filter(
                self.text,
                f"it has {len(parts)} alternatives and may have {MAX_ALTERNATIVES}: ask for them in turns",
            )
        return parts


@dataclass(frozen=True, slots=True)
class Term:
    """An expression, or what it leaves out."""

    expression: Expression
    negated: bool


def read_terms(text: str) -> list[Term]:
    """The terms between ` or `, of which one must hold. Raises `CatalogError` `bad-filter`."""
    _check(text)
    terms: list[list[str]] = [[]]
    is_whole = False
    for part in _OR.split(text):
        if is_whole:
            terms.append([])
        terms[-1].append(part)
        # Without an operator it is no whole term: the ` or ` behind it belongs to the name of a label.
        is_whole = any(sign in part for sign in _SIGNS_OF_FIELDS)
    return [_term(" or ".join(parts).strip()) for parts in terms]


def _term(text: str) -> Term:
    negated = text.startswith(_NOT)
    return Term(read(text.removeprefix(_NOT)), negated)


def read(text: str) -> Expression:
    """The parts of a term without `not`. Raises `CatalogError` `bad-filter`.

    The operator is the first one, but after `label:` and `probe:` the last, as names of labels may contain
    operators.
    """
    _check(text)
    stripped = text.strip()
    kind = next(kind for kind, prefix in _PREFIXES.items() if stripped.startswith(prefix))
    rest = stripped[len(_PREFIXES[kind]) :]
    at = _last_operator(rest) if kind in ("label", "probe") else _first_operator(rest, kind)
    operator = next((one for one in _OPERATORS if rest.startswith(one, at)), None) if at > 0 else None
    name = rest[: max(at, 0)].strip()
    if operator is None or not name:
        raise bad_filter(text, _CURES[kind])
    if len(name) > MAX_NAME:
        raise bad_filter(text, f"its name has {len(name)} characters and may have {MAX_NAME}: shorten it")
    return Expression(text, kind, name, operator, rest[at + len(operator) :].strip())


def bad_filter(text: str, why: str) -> CatalogError:
    """The error for an expression that cannot be used; `why` is a clause."""
    return CatalogError("bad-filter", f"The filter {excerpt(text)} cannot be used: {why}.")


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` and the names that exist, of which a long list is shortened."""
    names, small = sorted(known), name.lower()
    close = [one for one in names if small in one]
    if not close and len(small) <= _LONG:
        short = [one for one in names if len(one) <= _LONG]
        close = get_close_matches(small, short[:_MOST_COMPARED], 1)
    meant = f"; did you mean {_shortened(close[0])}?" if close else ";"
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f"{meant} There are: {', '.join(map(_shortened, names[:_MOST_SHOWN])) or 'none'}{more}"


def _shortened(name: str) -> str:
    return name if len(name) <= _LONG else f"{name[:_LONG]}..."


def _check(text: str) -> None:
    """Refuse a text that is too long, or that databases cannot hold: with NUL or a lone surrogate."""
    if len(text) > MAX_CHARACTERS:
        raise bad_filter(
            text, f"it has {len(text)} characters and may have {MAX_CHARACTERS}: ask in several questions"
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise bad_filter(text, "it is not UTF-8: write it in that encoding") from None
    if "\0" in text:
        raise bad_filter(text, "it holds the character NUL: leave that out")


def _first_operator(text: str, kind: Kind) -> int:
    """Where the first operator begins, -1 for none."""
    signs = _SIGNS_OF_FIELDS if kind == "field" else _SIGNS
    return min((at for at in map(text.find, signs) if at >= 0), default=-1)


def _last_operator(text: str) -> int:
    """Where the last operator with a name before it begins, -1 for none."""
    at = max(map(text.rfind, _SIGNS))
    is_second = at > 0 and text[at - 1 : at + 1] in _OPERATORS and text[: at - 1].strip()
    return at - 1 if is_second else at
