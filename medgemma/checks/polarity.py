"""Whether a sentence states that its findings are present or absent, or leaves them open.

Scopes in the manner of NegEx and ConText (Chapman 2001, Harkema 2009): triggers before and after a finding,
each with a scope that other words end. The triggers are in `terms/polarity.toml`; `scopes` reads those before
their findings in one pass, `triggers_after` those that follow them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from medsiglip.medgemma.checks.lexicon import Claim
from medsiglip.medgemma.checks.phrases import Phrase, ScopedMention, mentions, phrases
from medsiglip.medgemma.checks.scopes import Reading
from medsiglip.medgemma.checks.terms import PhraseTable, Word


@dataclass(frozen=True, slots=True)
class Statement:
    """One claim of a sentence. `present` is whether it states that the claim's findings are present; None if
    it leaves that open: hedged, questioned, or denied of one side only. `hedged` is whether it states them
    with a strong hedge, "suspicious for"; `partly` whether what is gone was on one side only. `start` and
    `end` are the clause's offsets.
    """

    claim: Claim
    present: bool | None
    start: int
    end: int
    otherwise: bool = False
    hedged: bool = False
    partly: bool = False


def statements(found: Sequence[Word], own: PhraseTable[Claim], *, unseen: bool = False) -> list[Statement]:
    """Return what the words of one sentence state, in order; `unseen` if its section describes no picture."""
    row = phrases(found, own)
    reading = Reading(row, mentions(row))
    said = _Said.of(reading.read())
    read = [scoped for scoped in said.read if not said.is_aside(scoped)]
    bounds = _clauses(row, read, reading.cuts)
    otherwise = any(phrase.text in ("otherwise", "elsewhere", "remaining", "remainder") for phrase in row)
    result = []
    for scoped, (start, end) in zip(read, bounds, strict=True):
        claim = scoped.mention.claim
        if scoped.mention.subject is not None and scoped.present() is False:
            # "the lungs are clear except for left basal atelectasis"
            others = tuple(name for name in claim.findings if name not in said.present)
            if not others:
                continue
            claim = replace(claim, findings=others)
        present = None if unseen else scoped.present()
        if present and claim.sign and said.absent.issuperset(claim.findings):
            present = None  # "vascular congestion without edema"
        hedged = bool(present) and claim.asserts and scoped.likely
        partly = present is False and scoped.partly
        result.append(Statement(claim, present, start, end, otherwise, hedged, partly))
    return result


@dataclass(frozen=True, slots=True)
class _Said:
    """The mentions of a sentence, and the findings that some of them state as present and as absent."""

    read: Sequence[ScopedMention]
    present: frozenset[str]
    absent: frozenset[str]

    @classmethod
    def of(cls, read: Sequence[ScopedMention]) -> _Said:
        sides: dict[bool, set[str]] = {True: set(), False: set()}
        for scoped in read:
            stated = scoped.present()
            if stated is not None and scoped.mention.claim.asserts:
                sides[stated].update(scoped.mention.claim.findings)
        return cls(read, frozenset(sides[True]), frozenset(sides[False]))

    def is_aside(self, scoped: ScopedMention) -> bool:
        """Whether a mention is denied in part only of what the sentence states elsewhere: "no left effusion;
        small right effusion", "consolidation without air bronchograms".
        """
        claim = scoped.mention.claim
        denied = scoped.denied_before or scoped.denied_after
        in_part = scoped.partly or claim.sign
        return denied and in_part and claim.asserts and self.present.issuperset(claim.findings)


def _clauses(
    row: Sequence[Phrase], read: Sequence[ScopedMention], cuts: Sequence[int]
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
