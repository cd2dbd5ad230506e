"""Typing errors in the words of reports: "pnuemothorax" is read as pneumothorax.

A word counts as an error if it is long, no English word and no word of the lexicon, and one edit away from
one word of the lexicon (two for words of ten letters and more). An edit is a letter that is missing, added,
wrong or changed places with the next (Damerau 1964). English words are those of PyPI's pyspellchecker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, lru_cache

from medsiglip.medgemma.checks.english import english_words
from medsiglip.medgemma.checks.phrases import vocabulary
from medsiglip.medgemma.checks.terms import Word

_SHORTEST, _LONG, _LONGEST = 5, 10, 24
_PREFIXES = (
    *(
        "ante",
        "bi",
        "endo",
        "epi",
        "extra",
        "hyper",
        "hypo",
        "infra",
        "inter",
        "intra",
        "iso",
        "macro",
        "micro",
    ),
    *("no", "non", "para", "peri", "post", "pre", "retro", "sub", "supra", "trans", "un"),
)
"""Beginnings that make another word: hypotension is no error of hypertension."""


def corrected(found: Sequence[Word], own: Collection[str] = ()) -> list[Word]:
    """Return the words with typing errors set right; `own` are words that are right as they are."""
    return [_corrected(word, own) for word in found]


def _corrected(word: Word, own: Collection[str]) -> Word:
    text = correction(word.text)
    return word if text == word.text or word.text in own else Word(text, word.start, word.end)


@cache
def known_words() -> frozenset[str]:
    """The words of the lexicon and of its triggers, as they are compared."""
    return frozenset(word for key in vocabulary().entries for word in key)


@lru_cache(maxsize=4096)
def correction(word: str) -> str:
    """The word of the lexicon that `word` is a typing error of, else `word`."""
    if word in known_words() or not (
        _SHORTEST <= len(word) <= _LONGEST and word.isascii() and word.isalpha()
    ):
        return word
    near = {known for part in _deletions(word) for known in _by_deletion().get(part, ())}
    ranked = sorted((_distance(word, known), known) for known in near)
    ranked = [(distance, known) for distance, known in ranked if distance <= _allowed(word, known)]
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]) or word in english_words():
        return word
    return ranked[0][1]


def _allowed(word: str, known: str) -> int:
    if any(word.startswith(prefix) and not known.startswith(prefix) for prefix in _PREFIXES):
        return 0
    if _undoubled(word) == _undoubled(known):
        return 2
    if len(word) == _SHORTEST and len(known) == _SHORTEST:
        # So short that only letters which changed places are sure.
        return 1 if sorted(word) == sorted(known) else 0
    if len(word) == _SHORTEST:
        return 1 if known.startswith(word) else 0
    if word[0] != known[0] and len(word) < _LONG:
        return 1 if sorted(word[:2]) == sorted(known[:2]) else 0
    return 2 if min(len(word), len(known)) >= _LONG else 1


def _undoubled(word: str) -> str:
    return "".join(letter for at, letter in enumerate(word) if word[at - 1 : at] != letter)


@cache
def _by_deletion() -> Mapping[str, Sequence[str]]:
    """The long words of the lexicon by what is left of them without one or two letters, as in SymSpell."""
    found: dict[str, list[str]] = defaultdict(list)
    for word in known_words():
        if len(word) >= _SHORTEST and word.isalpha():
            for part in _deletions(word):
                found[part].append(word)
    return found


def _deletions(word: str) -> Iterator[str]:
    one = {word[:at] + word[at + 1 :] for at in range(len(word))}
    yield word
    yield from one
    if len(word) >= _SHORTEST:
        yield from {part[:at] + part[at + 1 :] for part in one for at in range(len(part))} - one


def _distance(first: str, second: str) -> int:
    """Edits between two words: the optimal string alignment distance."""
    rows = [list(range(len(second) + 1))]
    for i, letter in enumerate(first, 1):
        row = [i]
        for j, other in enumerate(second, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
