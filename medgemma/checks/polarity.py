"""Whether a sentence states that its findings are present or absent, or leaves them open.

Scopes in the manner of NegEx and ConText (Chapman 2001, Harkema 2009): triggers before and after a finding,
each with a scope that other words end. The triggers are in `terms/polarity.toml`; one pass forward keeps the
open scopes, with a step back from each trigger that follows its findings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from medsiglip.medgemma.checks.lexicon import Claim, is_general
from medsiglip.medgemma.checks.phrases import Mention, Phrase, mentions, one_sided, phrases
from medsiglip.medgemma.checks.terms import PhraseTable, Word

_LOOK = 14
"""Phrases that are searched for the end of a list; it bounds the work on texts without full stops."""

_EITHER = ("or", "and or")
_WHERE = ("in", "at", "within", "involving")
_NARROWING = ("to", "of", "that", "suggestive", *_WHERE)
_MODIFIERS = frozenset({"side", "severity", "part", "place"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One claim of a sentence. `present` is whether it states that the claim's findings are present; None if
    it leaves that open: hedged, questioned, or denied of one side only. `start` and `end` are the clause's
    offsets.
    """

    claim: Claim
    present: bool | None
    start: int
    end: int
    otherwise: bool = False


def statements(found: Sequence[Word], own: PhraseTable[Claim], *, unseen: bool = False) -> list[Statement]:
    """Return what the words of one sentence state, in order; `unseen` if its section describes no picture."""
    row = phrases(found, own)
    reading = _Reading(row, mentions(row))
    read = reading.read()
    bounds = _clauses(row, read, reading.cuts)
    otherwise = any(phrase.text in ("otherwise", "elsewhere", "remaining", "remainder") for phrase in row)
    result = []
    for scoped, (start, end) in zip(read, bounds, strict=True):
        present = None if unseen else scoped.present()
        result.append(Statement(scoped.mention.claim, present, start, end, otherwise))
    return result


@dataclass(slots=True)
class _ScopedMention:
    """A mention and the triggers in whose scope it lies."""

    mention: Mention
    clause: int = 0
    denied_before: bool = False
    denied_after: bool = False
    first: bool = False
    open: bool = False
    partly: bool = False

    def present(self) -> bool | None:
        if self.open:
            return None
        denied = self.denied_before or self.denied_after
        if not self.mention.claim.asserts:
            return None if denied or self.partly else False
        if self.denied_before and self.denied_after and self.first:
            return True
        return None if denied and self.partly else not denied


@dataclass(slots=True)
class _Reading:
    """One pass over a sentence. `negation`, `hedge`, `question` and `memory` are the positions of triggers
    whose scope is still open; `cuts` is where each clause begins.
    """

    row: Sequence[Phrase]
    found: Sequence[Mention]
    negation: int | None = None
    strong: bool = False
    hedge: int | None = None
    question: int | None = None
    memory: int | None = None
    verb: bool = False
    scoped: list[_ScopedMention] = field(default_factory=list)
    cuts: list[int] = field(default_factory=lambda: [0])
    mentions_in_scope: int = 0
    noun_start: int = 0

    def read(self) -> list[_ScopedMention]:
        upcoming = iter(self.found)
        following = next(upcoming, None)
        for position, phrase in enumerate(self.row):
            self._before(position, phrase)
            while following is not None and following.position == position:
                self._add_mention(following)
                following = next(upcoming, None)
            self._after(position, phrase)
        self._leave_open()
        return self.scoped

    # Scopes that a phrase opens or ends for the findings after it

    def _before(self, position: int, phrase: Phrase) -> None:
        parts = phrase.parts
        if "contrast" in parts or ("stop" in parts and phrase.text != ":" and not self._answered(position)):
            self._end(position)
            if phrase.text == ";":
                self.question = None
        elif phrase.text == ":":
            self.negation = self.hedge = None
        elif "joint" in parts:
            self._joint(position, phrase)
        elif "with" in parts and self._new_noun(position + 1):
            self._end(position)
        if "likely" in parts and self.row[max(position - 1, 0)].text == ",":
            self._end(position)
        if "neutral" in parts:
            self._end()
        elif parts & {"negation", "negation_clause"} and not self._is_after(position, phrase):
            self.negation, self.strong = position, "negation_clause" in parts
            self.noun_start, self.verb, self.mentions_in_scope = position, False, 0
        elif "verb" in parts or "existence" in parts:
            self.verb = True
        if phrase.text == "over" and any(
            "favor" in before.text for before in self.row[max(position - _LOOK, 0) : position]
        ):
            self.hedge = position
        if "hedge" in parts and not ("hedge_after" in parts and position == len(self.row) - 1):
            self.hedge = position
        if "open" in parts:
            self.question = position
        if "memory" in parts:
            self.memory = position

    def _answered(self, position: int) -> bool:
        """Whether a dash is used as a colon, "pneumothorax - absent"."""
        following = self.row[position + 1] if position + 1 < len(self.row) else None
        return (
            self.row[position].text == "—" and following is not None and "negation_after" in following.parts
        )

    def _joint(self, position: int, phrase: Phrase) -> None:
        alternative = phrase.text in ("or", "nor", "and or")
        listed = alternative or self._list_goes_on(position)
        if not listed:
            self.hedge = None
        if phrase.text == "," and not listed:
            self.memory = None
        if not alternative and (self.negation is not None) and self._new_clause(position, phrase):
            self._end(position)
        if self.mentions_in_scope:
            self.noun_start = position

    def _end(self, clause_at: int | None = None) -> None:
        self.negation = self.hedge = self.memory = None
        self.verb, self.mentions_in_scope = False, 0
        if clause_at is not None:
            self.cuts.append(clause_at)

    @property
    def _clause(self) -> int:
        return len(self.cuts) - 1

    def _new_noun(self, position: int) -> bool:
        """Whether "a small ..." begins here, a statement of its own."""
        return position < len(self.row) and bool(self.row[position].parts & {"determiner", "severity"})

    def _list_goes_on(self, position: int) -> bool:
        """Whether "or" follows before the clause ends."""
        for phrase in self.row[position + 1 : position + 1 + _LOOK]:
            if phrase.parts & {"contrast", "stop", "verb", "negation"}:
                return False
            if phrase.text in ("or", "nor", "and or"):
                return True
        return False

    def _new_clause(self, position: int, phrase: Phrase) -> bool:
        """Whether a comma or "and" inside a negation ends it."""
        after = position + 1
        if phrase.text == "," and after < len(self.row) and self.row[after].text == "and":
            after += 1
        if after >= len(self.row):
            return False
        following = self.row[after]
        if following.parts & {"determiner"} or self.verb or following.state in ("normal", "clear"):
            return True
        if following.parts & {"severity"}:
            return phrase.text == "and" or not self._list_goes_on(position)
        return self._own_predicate(after, phrase)

    def _own_predicate(self, position: int, joint: Phrase) -> bool:
        """Whether what follows has a verb of its own, as in "no effusion, cardiomegaly is stable"."""
        several = joint.text == "and"
        for later in range(position, min(position + _LOOK, len(self.row))):
            phrase = self.row[later]
            if phrase.parts & {"contrast", "stop"} or phrase.text == ",":
                return False
            several = several or phrase.text in ("or", "nor")
            if phrase.parts & {"negation_after", "hedge_after"}:
                return True
            if "verb" in phrase.parts:
                ending = self.row[later + 1] if later + 1 < len(self.row) else None
                if ending is not None and "existence" in ending.parts and several:
                    return phrase.text in ("i", "is", "was") and joint.text == "and"
                return True
        return False

    # The findings themselves

    def _add_mention(self, mention: Mention) -> None:
        scoped = _ScopedMention(mention, self._clause, partly=mention.partly)
        reached = self.negation
        if reached is not None and mention.subject is not None and not self.strong:
            predicate = mention.subject < mention.position
            if predicate and reached < mention.subject and not self._one_noun(mention):
                self._end(mention.subject)
                scoped.clause, reached = self._clause, None
        scoped.denied_before = reached is not None
        scoped.open = self.hedge is not None or self.question is not None or self.memory is not None
        if reached is not None:
            scoped.first = self.mentions_in_scope == 0
            self.mentions_in_scope += 1
            near = [*self.row[max(self.noun_start, mention.position - _LOOK) : mention.position]]
            near += self._place_after(mention.position)
            particular = any(
                "part" in phrase.parts for phrase in near if phrase.state != "enlarged" or not mention.subject
            )
            scoped.partly = scoped.partly or particular or one_sided(near)
            scoped.partly = scoped.partly or (
                is_general(mention.claim) and self._qualified(reached, mention.position)
            )
        self.scoped.append(scoped)

    def _qualified(self, negation: int, position: int) -> bool:
        """Whether a general word is narrowed: "no osseous abnormality", "no findings of pneumonia"."""
        between = self.row[max(negation, position - _LOOK) + 1 : position]
        if any(not phrase.parts or phrase.subject not in (None, "study") for phrase in between):
            return True
        after = self.row[position + 1 : position + 5]
        if not after or (after[0].text not in _NARROWING and "likely" not in after[0].parts):
            return False
        return after[0].text not in _WHERE or not any(phrase.subject == "study" for phrase in after)

    def _one_noun(self, mention: Mention) -> bool:
        """Whether subject and state are one noun, "mediastinal widening", with no verb between."""
        subject = mention.subject if mention.subject is not None else mention.position
        return not any("verb" in phrase.parts for phrase in self.row[subject : mention.position][: 2 * _LOOK])

    def _place_after(self, position: int) -> list[Phrase]:
        """The phrases after a denied finding that may say where: "no effusion is seen on the left"."""
        near = []
        for phrase in self.row[position + 1 : position + 8]:
            if phrase.claims or phrase.parts & {"joint", "contrast", "stop", "likely", "open", "with"}:
                break
            near.append(phrase)
        return near

    # Triggers that follow their findings

    def _is_after(self, position: int, phrase: Phrase) -> bool:
        """Whether a trigger that may precede or follow its finding follows it."""
        if "negation_after" not in phrase.parts and phrase.text != "no":
            return False
        before = self.row[position - 1] if position else None
        if phrase.text in ("no", "not"):
            last = position == len(self.row) - 1 or self.row[position + 1].text in (".", ";")
            return last and before is not None and before.text in (":", "—", "is", "are")
        return before is not None and (
            "verb" in before.parts or bool(before.claims) or before.text in (":", "—")
        )

    def _after(self, position: int, phrase: Phrase) -> None:
        denies = self._is_after(position, phrase) or (
            "negation_after" in phrase.parts and "negation" not in phrase.parts
        )
        if not denies and not phrase.parts & {"hedge_after", "open_after"}:
            return
        for scoped in list(self._reached_back(position)):
            if denies and (scoped.mention.claim.asserts or phrase.state is None):
                scoped.denied_after = True
                scoped.partly = scoped.partly or one_sided(
                    self._noun_around(scoped.mention.position, position)
                )
            elif not denies:
                scoped.open = True

    def _reached_back(self, position: int) -> Iterator[_ScopedMention]:
        """The findings just before a trigger: one before "is", all of a list before "are"."""
        at, plural = position - 1, False
        while at >= 0 and (self.row[at].parts & {"verb"} or self.row[at].text in (":", "—", "be", ",")):
            plural = plural or self.row[at].text in ("are", "were", "have", "have been", "remain")
            at -= 1
        listed = plural
        for scoped in reversed(self.scoped):
            if scoped.mention.position > at:
                continue
            if at - scoped.mention.position > _LOOK or scoped.clause != self._clause:
                return
            between = self.row[scoped.mention.position + 1 : at + 1]
            ends = {"verb", "contrast", "negation", "negation_after", "hedge_after"}
            if any(phrase.parts & ends for phrase in between):
                return
            if any("joint" in phrase.parts for phrase in between):
                either = any(phrase.text in ("or", "nor", "and or") for phrase in between)
                if not (listed or either):
                    return
                listed = True
            yield scoped
            at = scoped.mention.position

    def _noun_around(self, mention: int, trigger: int) -> list[Phrase]:
        """The phrases that belong to a finding, back to the last joint or verb and on to the trigger."""
        near: list[Phrase] = []
        for phrase in reversed(self.row[max(mention - _LOOK, 0) : mention]):
            if phrase.claims or phrase.parts & {"joint", "contrast", "stop", "verb"}:
                break
            near.append(phrase)
        return [*near, *self.row[mention:trigger], *self._place_after(trigger)]

    def _leave_open(self) -> None:
        """Leave open what a question or a bare heading names, and what is asserted as one of two."""
        last = self.row[-1].text if self.row else ""
        for scoped in self.scoped:
            at = scoped.mention.position
            asserted = scoped.mention.claim.asserts and scoped.present()
            if (
                last == "?"
                or (last == ":" and at == len(self.row) - 2)
                or (asserted and self._one_of_two(at))
            ):
                scoped.open = True
        for first, second in pairwise(self.scoped):
            between = self.row[first.mention.position + 1 : second.mention.position][: _LOOK // 2]
            joined = any(phrase.text in _EITHER for phrase in between)
            if joined and first.mention.claim.asserts and first.open and second.present():
                second.open = not any(phrase.parts & {"verb", "negation", "contrast"} for phrase in between)

    def _one_of_two(self, at: int) -> bool:
        """Whether "or" stands after a finding or before its adjectives: "a pneumothorax or skin fold"."""
        if at + 1 < len(self.row) and self.row[at + 1].text in _EITHER:
            return True
        pairs = pairwise(self.row[max(at - 3, 0) : at])
        return any(second.text in _EITHER and not first.parts & _MODIFIERS for first, second in pairs)


def _clauses(
    row: Sequence[Phrase], read: Sequence[_ScopedMention], cuts: Sequence[int]
) -> list[tuple[int, int]]:
    """Offsets of the clause of each mention; clauses without mentions belong to the one before."""
    if not read:
        return []
    order = list(dict.fromkeys(scoped.clause for scoped in read))
    starts = [0, *(cuts[clause] for clause in order[1:])]
    stops = [*starts[1:], len(row)]
    bounds = {}
    for clause, start, stop in zip(order, starts, stops, strict=True):
        if start and row[start].text in (",", ";") and start + 1 < stop:
            start += 1
        bounds[clause] = (row[start].start, row[max(stop - 1, start)].end)
    return [bounds[scoped.clause] for scoped in read]
