"""Findings as people name them: the noun of a label, with its article and number, and its organ."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_ARTICLE = re.compile(r"(?:an?|the) ")
_LONGEST_LABEL = 80


@dataclass(frozen=True, slots=True)
class Noun:
    """How a finding stands in a sentence, see `terms/nouns.toml`.

    `name` is its name in the lexicon, or the label itself where the lexicon does not know it: then it is
    quoted and has no `organ`.
    """

    name: str
    noun: str
    none: str
    organ: str | None = None
    overlaps: tuple[str, ...] = ()
    absence: bool = False
    alone: bool = False

    @property
    def title(self) -> str:
        """The noun without its article and with a capital, for a table."""
        return capital(without_article(self.noun) if self.organ else self.noun)


def noun_of(label: str, source: str = "") -> Noun:
    """The noun of a score's label or of a finding's name; `source` is that of the score, such as
    `probe:NAME`.
    """
    known = known_noun(label, source)
    if known is not None:
        return known
    quoted = f'"{in_one_line(label)}"'
    return Noun(label, quoted, quoted)


def known_noun(label: str, source: str = "") -> Noun | None:
    """The same, None where the lexicon does not know the label."""
    name = name_of(label, source)
    return None if name is None else _nouns().get(name)


def name_of(label: str, source: str = "") -> str | None:
    """The name of a label in the lexicon: as `set/label` of its prompt set, else by the label alone."""
    names = _names()
    keys = (_key(f"{source.partition(':')[2]}/{label}"), _key(label))
    return next((names[key] for key in keys if key in names), None)


def joined(nouns: Sequence[str], last: str = "and") -> str:
    """Nouns as a list in a sentence: "a, b and c"."""
    *others, end = nouns
    return f"{', '.join(others)} {last} {end}" if others else end


def without_article(noun: str) -> str:
    """A noun without "a", "an" or "the" before it."""
    return _ARTICLE.sub("", noun, count=1) if _ARTICLE.match(noun) else noun


def capital(text: str) -> str:
    """The text with a capital as its first letter."""
    return text[:1].upper() + text[1:]


def in_one_line(text: str, longest: int = _LONGEST_LABEL) -> str:
    """Words of a user for a sentence: in one line, without double quotes, and cut to `longest` characters."""
    words = " ".join(text.replace('"', "'").split())
    return words if len(words) <= longest else f"{words[:longest]}..."


def terms(name: str) -> Mapping[str, Any]:
    """Read `terms/<name>.toml`."""
    content = (resources.files("medsiglip.medgemma") / "terms" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(content)


@cache
def _nouns() -> Mapping[str, Noun]:
    findings = terms("findings")["findings"]
    return {name: _noun(name, fields, findings) for name, fields in terms("nouns")["nouns"].items()}


def _noun(name: str, fields: Mapping[str, Any], findings: Mapping[str, Mapping[str, Any]]) -> Noun:
    own = findings.get(name, {})
    opposite = list(own.get("opposite", ()))
    covered = [other for one in (name, *opposite) for other in findings.get(one, {}).get("covers", ())]
    return Noun(
        name,
        fields["noun"],
        fields.get("none", without_article(fields["noun"])),
        fields["organ"],
        (*fields.get("overlaps", ()), *opposite, *covered),
        fields.get("absence", False),
        fields.get("alone", False),
    )


@cache
def _names() -> Mapping[str, str]:
    names: dict[str, str] = {}
    for name, fields in terms("findings")["findings"].items():
        for label in (name, *fields.get("names", ())):
            names.setdefault(_key(label), name)
    return names


def _key(label: str) -> str:
    return " ".join(re.sub(r"[-_]", " ", label.lower()).split())
