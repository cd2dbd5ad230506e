"""The sentences of a draft one by one: how each fared, and the text after a person kept, edited or cut each.

A person decides about sentences as they are in the text that accepting would take (`workflow.to_accept`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from medsiglip.medgemma.checks.concerns import concerns, kind_and_place
from medsiglip.medgemma.checks.marks import unmarked
from medsiglip.medgemma.checks.sentences import Sentence, split
from medsiglip.medgemma.checks.terms import table
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.records import Check, Concern, Draft, Flag, SentenceDecision, Verdict

VERDICTS: tuple[Verdict, ...] = ("contradict", "doubtful", "unsupported", "agree", "not-checkable")
"""The verdicts, the most serious first: the one of a sentence is the first that one of its checks has."""

_WRONG: frozenset[Flag] = frozenset({"wrong-side", "wrong-size", "wrong-number"})


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """One sentence of a text, `text[start:end]`, counted from 0. `line_breaks` are those before it.

    `image_ids` are the pictures that drive the scores it was compared with, `concerns` the ids of what a
    person must decide about it before the draft is accepted.
    """

    number: int
    start: int
    end: int
    text: str
    line_breaks: int
    heading: str
    verdict: Verdict
    findings: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    image_ids: tuple[int, ...] = ()
    concerns: tuple[str, ...] = ()


def sentences(draft: Draft) -> tuple[DraftSentence, ...]:
    """The sentences of a draft's text, in its order; between them lies white space only."""
    found = _split(draft.text)
    starts = [one.start for one in found]
    checks: list[list[Check]] = [[] for _ in found]
    for check in draft.checks:
        # A check is about a sentence, or a clause within one.
        checks[max(bisect_right(starts, check.start) - 1, 0)].append(check)
    asked: list[list[str]] = [[] for _ in found]
    for concern in concerns(draft):
        if (place := kind_and_place(concern)[1]) is not None:
            asked[max(bisect_right(starts, place[0]) - 1, 0)].append(concern.id)
    pictures = {one.label: one.image_id for one in draft.evidence.findings}
    made, end = [], 0
    for number, one in enumerate(found):
        gap = draft.text[end : one.start].count("\n") if number else 0
        made.append(_told(number, one, draft.text[one.start : one.end], gap, checks[number], pictures))
        end = one.end
    return tuple(replace(sentence, concerns=tuple(ids)) for sentence, ids in zip(made, asked, strict=True))


def _split(text: str) -> tuple[Sentence, ...]:
    sections = table("wording")["sections"]
    return split(text, frozenset(sections["seen"] + sections["unseen"]))


def _told(
    number: int, one: Sentence, text: str, gap: int, checks: Sequence[Check], pictures: Mapping[str, int]
) -> DraftSentence:
    flags = tuple(dict.fromkeys(flag for check in checks for flag in check.flags))
    findings = tuple(dict.fromkeys(check.finding for check in checks if check.finding is not None))
    verdicts = {check.verdict for check in checks}
    verdict: Verdict = next((known for known in VERDICTS if known in verdicts), "not-checkable")
    if _WRONG.intersection(flags):
        verdict = "contradict"
    return DraftSentence(
        number,
        one.start,
        one.end,
        text,
        gap,
        one.heading,
        verdict,
        findings,
        flags,
        tuple(dict.fromkeys(pictures[label] for label in findings if label in pictures)),
    )


@dataclass(frozen=True, slots=True)
class DecidedText:
    """The text that decisions make, and where in it the sentences are that were kept by a decision: from,
    to, and the kinds of concern that the person saw of each.
    """

    text: str
    kept: tuple[tuple[int, int, frozenset[str]], ...]

    def settled(self, found: Sequence[Concern]) -> frozenset[str]:
        """The ids of those concerns about this text that were seen with a sentence that is kept."""
        starts = [start for start, _, _ in self.kept]
        ids = set()
        for concern in found:
            kind, place = kind_and_place(concern)
            at = -1 if place is None else bisect_right(starts, place[0]) - 1
            if place is None or at < 0:
                continue
            _, end, kinds = self.kept[at]
            if place[1] <= end and kind in kinds:
                ids.add(concern.id)
        return frozenset(ids)


def decide(draft: Draft, decisions: Collection[SentenceDecision]) -> DecidedText:
    """The text of a draft after decisions about its sentences; others stay as they are.

    A sentence that is cut takes its line along if nothing else is on it; the heading at its beginning stays.
    Raises DraftError `unknown-sentence` for a number that no sentence has, or two decisions about one,
    `text-missing` for a sentence that is edited to nothing and where no sentence is left.
    """
    found = sentences(draft)
    choices = {one.sentence: one for one in decisions}
    if len(choices) != len(decisions) or any(not 0 <= number < len(found) for number in choices):
        raise DraftError(
            "unknown-sentence",
            f"Draft {draft.id} has {len(found)} sentences, numbered from 0: decide about each once at most.",
        )
    parts: list[str] = []
    kept: list[tuple[int, int, frozenset[str]]] = []
    length, end, gap = 0, 0, ""
    kinds = {one.id: kind_and_place(one)[0] for one in concerns(draft)}
    for sentence in found:
        between = draft.text[end : sentence.start]
        gap = between if between.count("\n") > gap.count("\n") or not gap else gap
        end = sentence.end
        choice = choices.get(sentence.number)
        text = _chosen(draft, sentence, choice)
        if not text:
            continue
        parts += [gap if parts else "", text]
        length += len(parts[-2])
        if choice is not None and choice.choice == "keep":
            seen = frozenset(kinds[one] for one in sentence.concerns)
            kept.append((length, length + len(text), seen))
        length += len(text)
        gap = ""
    if not parts:
        raise DraftError("text-missing", f"No sentence of draft {draft.id} is left; reject it instead.")
    return DecidedText("".join(parts) + draft.text[end:], tuple(kept))


def _chosen(draft: Draft, sentence: DraftSentence, decision: SentenceDecision | None) -> str:
    """What becomes of a sentence; "" where nothing is left of it."""
    if decision is None or decision.choice == "keep":
        return sentence.text
    if decision.choice == "cut":
        return _heading_of(sentence)
    text = unmarked(decision.text or "").strip()
    if not text:
        raise DraftError(
            "text-missing",
            f"Give the words of sentence {sentence.number} of draft {draft.id}, or cut it.",
        )
    return text


def _heading_of(sentence: DraftSentence) -> str:
    """The heading that a sentence begins with and is followed by text; "" without one."""
    head, colon, rest = sentence.text.partition(":")
    named = head.strip(" \t\r\n#*_>•·-").lower()
    if not colon or not sentence.heading or named != sentence.heading or not rest.strip(" \t\r\n*_"):
        return ""
    marks = rest[: len(rest) - len(rest.lstrip("*_"))]
    return f"{head}:{marks}"
