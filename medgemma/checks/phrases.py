"""A sentence as a row of phrases, each with the parts it can play, and its mentions of findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from medsiglip.medgemma.checks.lexicon import EVERYTHING, Claim, is_general, lexicon
from medsiglip.medgemma.checks.terms import PhraseTable, Word, table

Part = tuple[str, str | Claim]

LOOK = 14
"""Phrases that are searched for the end of a list; it bounds the work on texts without full stops."""
_OF = frozenset(
    [
        *("in", "of", "within", "around", "inside", "to", "from", "behind", "beneath", "surrounding"),
        *("along", "by", "into", "through", "over"),
    ]
)
_PARTICULAR = frozenset(["the", "this", "these", "that", "those", "its", "known"])
_REMAINS = frozenset(
    [
        *("residual", "residue", "remnant", "trace", "recurrence", "reaccumulation", "return", "development"),
        *("sign", "evidence", "suggestion", "indication", "sequela"),
    ]
)
"""What denies the finding itself: "no recurrence of the effusion"."""
_LISTING = frozenset(
    ["the", "following", "finding", "these", "any", "is", "are", "present", "seen", "identified"]
)
_IMPLIED = {"gone": ("negation_after",), "resolution": ("negation", "gone")}
"""Parts of a phrase that go with others."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One phrase or plain word: its offsets, the parts it can play (keys of `terms/polarity.toml`), and what
    it names.
    """

    text: str
    start: int
    end: int
    parts: frozenset[str] = frozenset()
    claims: tuple[Claim, ...] = ()
    subject: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Mention:
    """A claim at the phrase `position`. Of a state, `subject` is the position of its subject, and `partly`
    whether this is one side or place of it.
    """

    position: int
    claim: Claim
    subject: int | None = None
    partly: bool = False


@dataclass(slots=True)
class ScopedMention:
    """A mention and the triggers in whose scope it lies. `past` is the position of words that place it on an
    earlier picture; `gone` is whether it was there and is no longer, so that its side does not matter.
    """

    mention: Mention
    clause: int = 0
    denied_before: bool = False
    denied_after: bool = False
    first: bool = False
    open: bool = False
    partly: bool = False
    gone: bool = False
    likely: bool = False
    unchanged: bool = False
    past: int | None = None

    def present(self) -> bool | None:
        """Whether the finding is stated as present; None if that is left open."""
        if self.open:
            return None
        denied = self.denied_before or self.denied_after
        if not self.mention.claim.asserts:
            return None if denied or self.partly else False
        if denied and self.mention.claim.sign:
            return None
        if self.denied_before and self.denied_after:
            # "no sign that it has resolved", but "no effusion is not seen"
            return True if self.first and self.gone else None
        return None if denied and self.partly and not self.gone else not denied


def phrases(found: Sequence[Word], own: PhraseTable[Claim]) -> list[Phrase]:
    """Split the words of a sentence into phrases: the longest known, else single words."""
    texts = [word.text for word in found]
    row, position = [], 0
    while position < len(texts):
        length, parts = vocabulary().at(texts, position)
        own_length, own_claims = own.at(texts, position)
        if own_length > length:
            length, parts = own_length, []
        elif own_length < length:
            own_claims = []
        span = max(length, 1)
        start, end = found[position].start, found[position + span - 1].end
        row.append(_phrase(" ".join(texts[position : position + span]), start, end, parts, own_claims))
        position += span
    return row


@cache
def vocabulary() -> PhraseTable[Part]:
    """The phrases of the lexicon and of the triggers, with the parts they can play."""
    known, polarity = lexicon(), table("polarity")
    merged: PhraseTable[Part] = PhraseTable()
    for kind, of in (("finding", known.phrases), ("subject", known.subjects), ("state", known.states)):
        for key, values in of.entries.items():
            for value in values:
                merged.add_words(key, (kind, value))
    for section in ("scopes", "words"):
        for kind, texts in polarity[section].items():
            for text in texts:
                merged.add(text, (kind, ""))
    return merged


def _phrase(text: str, start: int, end: int, parts: Sequence[Part], own: Sequence[Claim]) -> Phrase:
    asserted = [value for kind, value in parts if kind == "finding" and isinstance(value, Claim)]
    names = tuple(name for claim in asserted if claim.asserts and not claim.sign for name in claim.findings)
    claims = [Claim(names)] if names else []
    claims += [claim for claim in asserted if not claim.asserts or claim.sign] + list(own)
    subject = next((str(value) for kind, value in parts if kind == "subject"), None)
    state = next((str(value) for kind, value in parts if kind == "state"), None)
    kinds = frozenset(also for kind, _ in parts for also in (kind, *_IMPLIED.get(kind, ())))
    kinds |= {"finding"} if own else set()
    return Phrase(text, start, end, kinds, tuple(claims), subject, state)


def mentions(row: Sequence[Phrase]) -> list[Mention]:
    """The findings that a sentence names and the states of its subjects, in order."""
    found = [
        Mention(position, claim)
        for position, phrase in enumerate(row)
        if phrase.claims and not _in_unscored_organ(row, position)
        for claim in phrase.claims
        if not (is_general(claim) and [after.text for after in row[position + 1 : position + 2]] == [":"])
    ]
    found += _States(row).mentions()
    return sorted(found, key=lambda mention: mention.position)


def _in_unscored_organ(row: Sequence[Phrase], position: int) -> bool:
    """Whether a finding lies in an organ without scores: "nodules in the thyroid"."""
    after = row[position + 1 : position + 6]
    if not after or after[0].text not in ("in", "of", "within"):
        return False
    return any(phrase.subject == "organ" for phrase in after)


_REACH = 7
"""How many phrases may lie between a state and a subject that follows it."""


@dataclass(slots=True)
class _States:
    """Joins states to their subjects: "the heart and mediastinum are normal", "clear lungs"."""

    row: Sequence[Phrase]
    subjects: list[int] = field(default_factory=list)
    verb: bool = False
    used: bool = False
    strangers: int = 0
    taken: set[int] = field(default_factory=set)

    def mentions(self) -> Iterator[Mention]:
        for position, phrase in enumerate(self.row):
            if phrase.subject is not None:
                self._take_subject(position)
            elif phrase.state is not None and not self._is_borderline(position):
                yield from self._state(position, phrase.state)
            elif phrase.text in ("but", "yet", "though"):
                self.verb, self.strangers = True, 0
            elif phrase.claims or phrase.parts & {"contrast", "stop"} - (
                {"stop"} if phrase.text == ":" else set()
            ):
                self.subjects = []
            elif phrase.parts & {"verb"} or phrase.text == ":":
                self.verb = True
            elif not phrase.parts:
                self.strangers += 1

    def _is_borderline(self, position: int) -> bool:
        return position > 0 and self.row[position - 1].state == "borderline"

    def _take_subject(self, position: int) -> None:
        if self.verb or self.used or self.strangers > 2:
            self.subjects = []
        self.subjects = [*self.subjects[-5:], position]
        self.verb, self.used, self.strangers = False, position in self.taken, 0

    def _state(self, position: int, state: str) -> Iterator[Mention]:
        near = bool(self.subjects) and self.strangers <= 2 and position - self.subjects[-1] <= 3 * _REACH
        if near and not self.used and (self.verb or position - self.subjects[-1] <= 2):
            self.used = True
            yield from self._claims_of(position, state, self.subjects)
            return
        following = list(self._following(position, state))
        if following:
            self.taken.update(following)
            yield from self._claims_of(position, state, following)
        elif near and self.used:
            yield from self._claims_of(position, state, self.subjects)
        elif state == "normal" and len(self.row) <= 3 and not self.subjects:
            yield Mention(position, Claim((EVERYTHING,), asserts=False))

    def _following(self, position: int, state: str) -> Iterator[int]:
        """Positions of the subjects to which a state before them belongs."""
        ends = {"contrast", "stop", "negation", "state"} | (set() if state == "fluid" else {"verb"})
        some = False
        for later in range(position + 1, min(position + 1 + _REACH, len(self.row))):
            phrase = self.row[later]
            if phrase.subject is not None:
                some = True
                yield later
            elif phrase.claims or phrase.parts & ends or (some and not phrase.parts):
                return

    def _claims_of(self, position: int, state: str, subjects: Sequence[int]) -> Iterator[Mention]:
        for subject in subjects:
            name = self.row[subject].subject
            partly = self._partly(min(position, subject), max(position, subject))
            for claim in lexicon().state_claims.get((name or "", state), ()):
                yield Mention(position, claim, subject, partly)

    def _partly(self, first: int, last: int) -> bool:
        near = self.row[max(first - 2, 0) : min(last + 2, len(self.row))][: 2 * _REACH]
        return one_sided(near)


def one_sided(row: Sequence[Phrase]) -> bool:
    """Whether phrases name one side or one place only."""
    sides = {phrase.text for phrase in row if "side" in phrase.parts}
    if any("both" in phrase.parts for phrase in row) or {"left", "right"} <= sides:
        return False
    return bool(sides) or any("place" in phrase.parts for phrase in row)


def denies_a_part(row: Sequence[Phrase], negation: int | None, position: int) -> bool:
    """Whether a part or change of the finding at `position` is denied: "no cavitation within the
    consolidation".
    """
    if negation is None:
        return False
    between = row[max(negation, position - LOOK) + 1 : position]
    for at in range(1, len(between) - 1):
        if between[at].text in _OF and between[at + 1].text in _PARTICULAR:
            nouns, rest = between[:at], between[at + 2 :]
            denied = any(not one.parts or one.claims for one in nouns)
            remains = any(one.text in _REMAINS for one in nouns)
            ends = any(one.subject or one.parts & {"joint", "contrast", "verb", "stop"} for one in rest)
            return denied and not remains and not ends
    return False


def lists_denied(row: Sequence[Phrase], negation: int | None, colon: int) -> bool:
    """Whether a colon stands before what is denied: "no evidence of the following: effusion"."""
    between = row[negation + 1 : colon][:LOOK] if negation is not None else []
    texts = {word for phrase in between for word in phrase.text.split()}
    return "following" in texts and texts <= _LISTING
