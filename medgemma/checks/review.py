"""The review of a text: what drafting, editing and accepting check of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medsiglip.medgemma.checks.attributes import with_attributes
from medsiglip.medgemma.checks.language import is_foreign, language
from medsiglip.medgemma.checks.omissions import omissions
from medsiglip.medgemma.checks.sentences import split
from medsiglip.medgemma.checks.terms import table
from medsiglip.medgemma.checks.verify import check_draft, flag_flips
from medsiglip.medgemma.records import Check, Evidence, Omission


@dataclass(frozen=True, slots=True)
class Review:
    """The checks of the sentences of a text, in its order, and what it does not mention."""

    checks: tuple[Check, ...]
    omissions: tuple[Omission, ...]


def review(
    text: str,
    evidence: Evidence,
    *,
    copied: Iterable[int] = (),
    flipped: Sequence[str] = (),
    unaided: str | None = None,
) -> Review:
    """Check the sentences of `text`, their sides, sizes and numbers, and what the text omits.

    `copied` are the offsets of sentences that stand in reports of similar cases, `flipped` the labels whose
    polarity those reports have changed, and `unaided` is the text that was drafted without them.
    """
    checks = flag_flips(check_draft(text, evidence, copied), flipped)
    checks = with_attributes(checks, text, evidence, unaided)
    sections = table("wording")["sections"]
    asked = frozenset(sections["asked"])
    spans = [
        (one.start, one.end)
        for one in split(text, frozenset(sections["seen"] + sections["unseen"]))
        if one.heading in asked
    ]
    starts = [start for start, _ in spans]
    described = [
        check
        for check in checks
        if not (at := bisect_right(starts, check.start)) or spans[at - 1][1] <= check.start
    ]
    return Review(checks, omissions(described, evidence))


def is_in_another_language(text: str) -> bool:
    """Whether no sentence of a text is English, so that none can be checked."""
    whole = language(text)
    if whole in ("en", ""):
        return False
    return all(is_foreign(text[one.start : one.end], whole) for one in split(text, frozenset()))
