"""Whether a sentence states that its findings are present or absent, or leaves them open.

Scopes in the manner of NegEx and ConText (Chapman 2001, Harkema 2009): triggers before and after a finding,
each with a scope that other words end. The triggers are in `terms/polarity.toml`; `scopes` reads those before
their findings in one pass, `triggers_after` those that follow them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    read = reading.read()
    bounds = _clauses(row, read, reading.cuts)
    otherwise = any(phrase.text in ("otherwise", "elsewhere", "remaining", "remainder") for phrase in row)
    denied = {
        name
        for scoped in read
        if scoped.mention.claim.asserts and scoped.present() is False
        for name in scoped.mention.claim.findings
    }
    result = []
    for scoped, (start, end) in zip(read, bounds, strict=True):
        present = None if unseen else scoped.present()
        if present and scoped.mention.claim.sign and denied.issuperset(scoped.mention.claim.findings):
            present = None  # "vascular congestion without edema"
        if present is False and scoped.gone and scoped.partly and _stays(scoped, read):
            present = None
        if present is None and scoped.mention.claim.sign and _is_told(scoped, read):
            continue
        hedged = bool(present) and scoped.mention.claim.asserts and scoped.likely
        partly = present is False and scoped.partly
        result.append(Statement(scoped.mention.claim, present, start, end, otherwise, hedged, partly))
    return result


def _stays(gone: ScopedMention, read: Sequence[ScopedMention]) -> bool:
    """Whether what is gone on one side is there on the other."""
    return any(
        other.present() and other.mention.claim == gone.mention.claim for other in read if other is not gone
    )


def _is_told(sign: ScopedMention, read: Sequence[ScopedMention]) -> bool:
    """Whether a sign is denied beside its finding, as in "consolidation without air bronchograms"."""
    return (sign.denied_before or sign.denied_after) and any(
        other.clause == sign.clause
        and not other.mention.claim.sign
        and other.mention.claim.asserts
        and set(sign.mention.claim.findings) & set(other.mention.claim.findings)
        for other in read
    )


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
