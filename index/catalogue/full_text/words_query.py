"""What a person looks for in report texts, read into terms.

    pleural effusion        texts with all of the words first, then those with some
    "ground-glass opacity"  these words next to each other
    -pneumothorax           no text of the study holds the word; also -"small effusion", -pneumo*
    cardio*                 words that begin so

Nothing that is written here is an error of syntax: what is no word is passed over. Words that every text
holds (`the`, `of`, `is`) are not looked for, except in quotation marks, and only help to order what the
others find. Negations are no such words: "no pneumothorax" asks for texts that deny one, and "pneumothorax"
finds them as well as those that state one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from medsiglip.index.catalogue.full_text.terms import JOINED, Compound, compounds, stem, stored
from medsiglip.index.errors import CatalogError, excerpt

MOST_CHARACTERS = 1000
MOST_WORDS = 32
LEAST_OF_PREFIX = 2
"""Characters before the star of a beginning: one letter would be a good part of all words."""

_FUNCTION_WORDS = """
    a about also an and are as at be been being both but by can could did do does for from had has have he her
    his if in into is it its may of on or our she should so such than that the their them then there these
    they this those to was we were which while who will with would
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English words that carry no finding. Not among them: no, not, nor, without, never, none."""

_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02", '"'))
# What keyboards write for a minus sign as well.
_PART = re.compile(r'([-\u2010-\u2013\u2212]?)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class Form:
    """Terms next to each other; of a `prefix`, the last one is the beginning of a term."""

    terms: tuple[str, ...]
    prefix: bool = False

    @property
    def pattern(self) -> str:
        """What a stored text holds once for each place where this stands."""
        text = stored(self.terms)
        return text[:-1] if self.prefix else text


@dataclass(frozen=True, slots=True)
class Sought:
    """A word, a phrase or a beginning as it was written, and the forms in which a text may hold it.

    No two forms stand at the same place of a text.
    """

    written: str
    forms: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class WordsQuery:
    """At least one thing that is looked for, each once; what no text of a hit holds; and the words that every
    text holds, which count in the score alone.
    """

    wanted: tuple[Sought, ...]
    excluded: tuple[Sought, ...] = ()
    helping: tuple[Sought, ...] = ()


def read_words(words: str) -> WordsQuery:
    """What a person looks for. Raises `CatalogError` `bad-query` for what holds nothing to look for, and for
    more than `MOST_CHARACTERS` characters or `MOST_WORDS` words.
    """
    if len(words) > MOST_CHARACTERS:
        raise _bad(words, f"it has more than {MOST_CHARACTERS} characters; keep the words that matter")
    wanted: dict[tuple[Form, ...], Sought] = {}
    excluded: dict[tuple[Form, ...], Sought] = {}
    helping: dict[tuple[Form, ...], Sought] = {}
    for minus, phrase, plain in _PART.findall(words.translate(_QUOTES)):
        there = excluded if minus else wanted
        for sought in _of_phrase(phrase) if phrase else _of_plain(plain):
            if phrase or not _is_stop_word(sought.forms[0]):
                there.setdefault(sought.forms, sought)
            elif not minus:
                helping.setdefault(sought.forms, sought)
    if len(wanted) + len(excluded) + len(helping) > MOST_WORDS:
        raise _bad(words, f"it has more than {MOST_WORDS} words; keep those that matter")
    if not wanted:
        raise _bad(words, _nothing_in(bool(excluded), bool(helping)))
    return WordsQuery(tuple(wanted.values()), tuple(excluded.values()), tuple(helping.values()))


def _of_phrase(phrase: str) -> Iterator[Sought]:
    terms = tuple(term for compound in compounds(phrase) for term in compound.terms)
    if len(terms) == 1:
        yield Sought(phrase.strip(), _alone(terms[0]))
    elif terms:
        yield Sought(phrase.strip(), (Form(terms),))


def _of_plain(plain: str) -> Iterator[Sought]:
    """What is written without blanks: mostly one word, and several of `and/or`."""
    begins = plain.rstrip(",;.").endswith("*")
    found = list(compounds(plain, stemmed=not begins))
    for place, compound in enumerate(found):
        if begins and place == len(found) - 1:
            yield _beginning(plain, compound)
            return
        if begins:
            compound = Compound(tuple(stem(term) for term in compound.terms), compound.joined)
        written = plain if len(found) == 1 else " ".join(compound.terms)
        if len(compound.terms) == 1:
            yield Sought(written, _alone(compound.terms[0]))
        elif compound.joined:
            yield Sought(written, (Form(compound.terms), Form((compound.joined,))))
        else:
            yield Sought(written, (Form(compound.terms),))


def _alone(term: str) -> tuple[Form, ...]:
    """A word, as such and as what a text writes with hyphens."""
    return Form((term,)), Form((f"{JOINED}{term}",))


def _beginning(plain: str, compound: Compound) -> Sought:
    *before, last = compound.terms
    if len(last) < LEAST_OF_PREFIX:
        raise _bad(plain, f"write at least {LEAST_OF_PREFIX} letters before the star")
    forms = [Form((*before, last), prefix=True)]
    if not stem(last).startswith(last):  # `opacities*`, of which texts hold `opacity`
        forms.append(Form((*before, stem(last))))
    if not before:
        forms.append(Form((f"{JOINED}{last}",), prefix=True))
    elif compound.joined:
        forms.append(Form((compound.joined,), prefix=True))
    return Sought(plain, tuple(forms))


def _is_stop_word(form: Form) -> bool:
    return not form.prefix and len(form.terms) == 1 and form.terms[0] in STOP_WORDS


def _nothing_in(excludes: bool, helps: bool) -> str:
    if excludes:
        return "it only says what is left out; name at least one word to look for"
    if helps:
        return "such words are in every text; put them in quotation marks to look for them as a phrase"
    return "it holds no word to look for"


def _bad(words: str, reason: str) -> CatalogError:
    return CatalogError("bad-query", f"Reports cannot be searched for {excerpt(words)}: {reason}.")
