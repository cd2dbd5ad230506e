"""The side, size and number in a sentence, compared with what is known of the study and its patient.

Scores have neither side nor size. What a sentence gives is compared, in this order, with the laterality and
the pictures of the study, with the report of the prior study where the sentence says that nothing changed,
with the indication, with the reply that was drafted without similar cases, and, in a section that sums up,
with what the other sections of the same text give. Where nothing of these is known, it is `not-checkable`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from medsiglip.medgemma.checks.lexicon import Claim, lexicon, own_phrases, scores
from medsiglip.medgemma.checks.persons import persons_in
from medsiglip.medgemma.checks.stated import BOTH, LEFT, RIGHT, Stated, one_sided_parts, stated_in
from medsiglip.medgemma.checks.study_numbers import number_known
from medsiglip.medgemma.checks.terms import PhraseTable, folded, table, words
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.records import Attribute, Check, Evidence, Flag

Verdict = Literal["agree", "contradict", "not-checkable"]
Judged = tuple[Verdict, str | None]
UNKNOWN: Judged = ("not-checkable", None)

_KINDS: dict[str, Literal["side", "size", "number"]] = {"side": "side", "size": "size"}
_FLAGS: dict[str, Flag] = {"side": "wrong-side", "size": "wrong-size", "number": "wrong-number"}
_SIDES = {"L": LEFT, "R": RIGHT}
_MOST_VALUES = 64
"""Values of one finding that a value is compared with."""
_TOLERANCE = 0.2
"""The share of a length by which two measurements, or their rounded values, may differ."""


def with_attributes(
    checks: Sequence[Check], text: str, evidence: Evidence, unaided: str | None = None
) -> tuple[Check, ...]:
    """The checks of `text` with the sides, sizes and numbers of their sentences, and flags for those that are
    wrong, and for sentences that name a person.

    `unaided` is the text of the same generator that was drafted without reports of similar cases.
    """
    judged = _Known.of(evidence, unaided).judged(text, checks)
    persons = persons_in(text)
    done = []
    for check in checks:
        if {"copied-from-similar-case", "quoted"} & set(check.flags):
            done.append(check)
            continue
        mine = _within(judged, check)
        wrong = [_FLAGS[one.kind] for one in mine if one.verdict == "contradict"]
        named: list[Flag] = ["other-patient"] if _overlap(persons, check) else []
        flags = tuple(dict.fromkeys([*check.flags, *wrong, *named]))
        done.append(replace(check, attributes=mine, flags=flags))
    return tuple(done)


def _within(judged: Sequence[Attribute], check: Check) -> tuple[Attribute, ...]:
    first = bisect_left(judged, check.start, key=lambda one: one.start)
    return tuple(judged[first : bisect_left(judged, check.end, key=lambda one: one.start)])


def _overlap(spans: Sequence[tuple[int, int]], check: Check) -> bool:
    at = bisect_left(spans, (check.end, 0))
    return any(end > check.start for _, end in spans[max(at - 2, 0) : at])


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known apart from the text: sides, sizes and numbers of other texts, by finding."""

    evidence: Evidence
    own: PhraseTable[Claim]
    prior: _Values
    indication: _Values
    unaided: _Values
    study_side: frozenset[str]
    part_side: frozenset[str]

    @classmethod
    def of(cls, evidence: Evidence, unaided: str | None) -> _Known:
        own = own_phrases(scores(evidence.findings))
        prior = evidence.prior.text if evidence.prior is not None else None
        indication = evidence.indication or ""
        return cls(
            evidence,
            own,
            _Values.of_text(prior, own, evidence),
            _Values.of(
                one
                for words_of_it in re.split(r"[,;:?.]", indication)
                for one in stated_in(words_of_it, own)
                if not one.denied
            ),
            _Values.of_text(unaided, own, evidence),
            study_side(evidence),
            _side_of_part(indication) if _is_paired(evidence) else frozenset(),
        )

    def judged(self, text: str, checks: Sequence[Check]) -> list[Attribute]:
        """The attributes of `text`, in order. What contradicts other knowledge is no knowledge by itself."""
        found = stated_in(text, self.own)
        asserted = _asserted(found, checks, self.evidence)
        judged = [self._judge(text, one, is_said) for one, is_said in zip(found, asserted, strict=True)]
        body = _Values.of(
            one
            for one, is_said, (verdict, _) in zip(found, asserted, judged, strict=True)
            if is_said and not one.summary and not one.unseen and not one.former and verdict != "contradict"
        )
        attributes = []
        for one, is_said, judgement in zip(found, asserted, judged, strict=True):
            if judgement[0] == "not-checkable" and one.summary and is_said and not one.former:
                judgement = _against(one, body, "the other sections")
            kind = _KINDS.get(one.what, "number")
            attributes.append(Attribute(kind, text[one.start : one.end], one.start, one.end, *judgement))
        return attributes

    def _judge(self, text: str, one: Stated, is_said: bool) -> Judged:
        if one.unseen and one.what not in ("age", "date", "pictures"):
            return UNKNOWN
        if one.what == "side":
            judgement = self._judge_side(text, one)
            if judgement is not None:
                return judgement
        known = number_known(one, self.evidence)
        if known is not None:
            return known
        if not is_said or one.compared or not one.names:
            return UNKNOWN
        if one.same or one.former:
            judgement = _against(one, self.prior, "the prior report")
            if judgement[0] != "not-checkable":
                return judgement
        if one.former:
            return UNKNOWN
        for others, name in (
            (self.indication, "the indication"),
            (self.unaided, "the reply without similar cases"),
        ):
            judgement = _against(one, others, name, overlap=True)
            if judgement[0] != "not-checkable":
                return judgement
        return UNKNOWN

    def _judge_side(self, text: str, one: Stated) -> Judged | None:
        """Compare a side with anatomy, and with the side of the study; None where those do not decide."""
        following = words(text, one.end, min(one.end + 60, len(text)))[:3]
        _, parts = one_sided_parts().at([word.text for word in following], 0) if following else (0, [])
        if parts and len(one.values) == 1 and parts[0] not in one.values:
            return "contradict", f"this part lies on the {parts[0]}"
        if one.compared or not one.names:
            return None
        for sides, name in (
            (self.study_side, "laterality of the study"),
            (self.part_side, "the indication"),
        ):
            if len(sides) == 1:
                (side,) = sides
                return ("agree" if one.values == sides else "contradict"), f"{name}: {side}"
        return None


def study_side(evidence: Evidence) -> frozenset[str]:
    """The sides that the headers of a study give, `left` and `right`; none where its part comes once."""
    if not _is_paired(evidence):
        return frozenset()
    given = [one.laterality for one in evidence.series if one.images and one.modality == evidence.modality]
    if not given or any(side not in ("L", "R", "B") for side in given):
        return frozenset()
    return frozenset(side for one in given for side in _SIDES.get(one or "", BOTH))


def _is_paired(evidence: Evidence) -> bool:
    """Whether the part of the body that a header names has two sides, or no header names it."""
    part = (evidence.body_part_examined or "").upper().replace(" ", "")
    return part not in table("attributes")["parts"]["unpaired"]


def _side_of_part(indication: str) -> frozenset[str]:
    """The side of a paired part that an indication names, "left wrist"; none where it names both."""
    found = [word.text for word in words(indication)]
    paired = {folded(word) for word in table("attributes")["parts"]["paired_words"]}
    sides = {"left": LEFT, "right": RIGHT, "lt": LEFT, "rt": RIGHT}
    named = [
        sides[word] for at, word in enumerate(found) if word in sides and paired & set(found[at + 1 : at + 3])
    ]
    return frozenset().union(*named) if named else frozenset()


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of a text by what they are and by finding: under its own names, and under those of findings
    that may be called so.
    """

    own: Mapping[tuple[str, str], set[Any]]
    related: Mapping[tuple[str, str], set[Any]]

    @classmethod
    def of(cls, stated: Iterable[Stated]) -> _Values:
        own: dict[tuple[str, str], set[Any]] = defaultdict(set)
        related: dict[tuple[str, str], set[Any]] = defaultdict(set)
        for one in stated:
            for names, values in ((one.names, own), (_related(one.names), related)):
                for name in names:
                    values[one.what, name].update(one.values)
        return cls(own, related)

    @classmethod
    def of_text(cls, text: str | None, own: PhraseTable[Claim], evidence: Evidence) -> _Values:
        """Those of findings that another text of the study states as present."""
        if not (text or "").strip():
            return cls({}, {})
        found = stated_in(text or "", own)
        asserted = _asserted(found, check_draft(text or "", evidence), evidence)
        kept = (one for one, is_said in zip(found, asserted, strict=True) if is_said and not one.unseen)
        return cls.of(one for one in kept if not one.former)

    def like(self, one: Stated) -> frozenset[Any]:
        """The values of the same finding, or of one that may be called so; none where there are too many to
        tell which is meant.
        """
        if one.what == "side" and one.names & set(table("attributes")["findings"]["without_side"]):
            return frozenset()
        found: set[Any] = set()
        for names, values in ((_related(one.names), self.own), (one.names, self.related)):
            for name in names:
                theirs = values.get((one.what, name), ())
                if len(theirs) > _MOST_VALUES:
                    return frozenset()
                found.update(theirs)
        return frozenset(found)


def _asserted(found: Sequence[Stated], checks: Sequence[Check], evidence: Evidence) -> list[bool]:
    """Whether each value is of a finding that the text states as present, or leaves open."""
    names = {score.finding.label: score.name for score in scores(evidence.findings)}
    result, first = [], 0
    for one in found:
        while first < len(checks) and checks[first].end <= one.start:
            first += 1
        here, at = [], first
        while at < len(checks) and checks[at].start <= one.start:
            here.append(checks[at])
            at += 1
        own = [check for check in here if names.get(check.finding or "", check.finding) in one.names] or here
        polarities = {check.polarity for check in own if check.finding is not None}
        result.append(True in polarities or (None in polarities and not one.denied))
    return result


def _related(names: Collection[str]) -> frozenset[str]:
    entries = lexicon().entries
    found = set(names)
    for name in names:
        if name in entries:
            found.update(entries[name].instead, entries[name].kind_of)
    return frozenset(found)


def _against(one: Stated, others: _Values, source: str, *, overlap: bool = False) -> Judged:
    """Compare a value with those of another text; with `overlap`, of two sides one must be the same."""
    known = others.like(one)
    if not known:
        return UNKNOWN
    if one.what == "size":
        (length,) = one.values
        agrees = any(_alike(length, other) for other in known)
        shown = ", ".join(f"{value:g} mm" for value in sorted(known))
    elif one.what == "side":
        agrees = bool(one.values & known) if overlap else one.values <= known
        shown = " and ".join(sorted(known))
    else:
        agrees = one.values <= known or (one.what == "count" and sum(known) in one.values)
        shown = ", ".join(str(value) for value in sorted(known))
    return ("agree" if agrees else "contradict"), f"{source}: {shown}"


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= _TOLERANCE * max(one, other)
