"""Findings that a text does not mention: those with a high score, and those of the prior report.

A finding is mentioned where the text states it as present or absent, or leaves it open; a statement about all
findings ("no acute cardiopulmonary abnormality") mentions, and contradicts, those that it denies. A finding
may be mentioned by a more general or neighbouring one, as `instead`, `kind_of` and `beside` of
`terms/findings.toml` say: "lung opacity" for a consolidation. What denies the one does not mention the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from medsiglip.medgemma.checks.lexicon import Entry, Score, lexicon, own_phrases, scores
from medsiglip.medgemma.checks.terms import words
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.records import Check, Evidence, Omission

_PLAIN = Entry()
_DENYING = frozenset(["no", "not", "non", "none", "without", "negative", "normal"])


def omissions(checks: Sequence[Check], evidence: Evidence) -> tuple[Omission, ...]:
    """The findings that the text of these checks omits, the most probable first, then those of the prior."""
    scored = scores(evidence.findings)
    names = {score.finding.label: score.name for score in scored}
    mentioned = _mentioned(checks, names)
    stood_in = _stood_in(checks, names)
    found: dict[str, Omission] = {}
    for score in sorted(scored, key=lambda one: -one.finding.probability):
        finding = score.finding
        if finding.present is not True or not _may_be_omitted(score):
            continue
        if score.name in mentioned or finding.label in mentioned or _has_stand_in(score.name, stood_in):
            continue
        found.setdefault(
            score.name,
            Omission(finding.label, "high-score", finding.source, finding.probability, finding.calibrated),
        )
    for name in _of_prior(evidence):
        if name not in mentioned and name not in found and not _has_stand_in(name, stood_in):
            assert evidence.prior is not None
            found[name] = Omission(name, "prior", evidence.prior.study_instance_uid)
    return tuple(found.values())


def _mentioned(checks: Sequence[Check], names: dict[str, str]) -> set[str]:
    """The findings by their names in the lexicon that the text names or denies."""
    named = [check.finding for check in checks if check.finding is not None]
    return {one for label in named for one in (label, names.get(label, label))}


def _stood_in(checks: Sequence[Check], names: dict[str, str]) -> set[str]:
    """The findings that the text states as present or leaves open."""
    named = [check.finding for check in checks if check.finding is not None and check.polarity is not False]
    return {names.get(label, label) for label in named}


def _has_stand_in(name: str, stood_in: set[str]) -> bool:
    entries = lexicon().entries
    entry = entries.get(name, _PLAIN)
    if not stood_in.isdisjoint((*entry.instead, *entry.kind_of, *entry.beside)):
        return True
    for other in stood_in:
        its = entries.get(other, _PLAIN)
        if name in its.instead or name in its.kind_of or name in its.beside:
            return True
    return False


def _may_be_omitted(score: Score) -> bool:
    """Whether a label is a finding that a text can name: no statement such as "normal", no grade such as
    "none", no label that denies ("no finding") or whose words reports use of anything.
    """
    if score.own:
        first = next((word.text for word in words(score.finding.label.replace("_", " "))), "")
        return first not in _DENYING and bool(own_phrases([score]).entries)
    entry = lexicon().entries.get(score.name, _PLAIN)
    return entry.kind != "statement" and not entry.opposite


def _of_prior(evidence: Evidence) -> Iterator[str]:
    """The findings that the report of the prior study states as present, by their names in the lexicon."""
    prior = evidence.prior
    if prior is None or not (prior.text or "").strip():
        return
    unscored = replace(evidence, findings=(), prior=None)
    present, denied = [], set()
    for check in check_draft(prior.text or "", unscored):
        if check.finding is None:
            continue
        if check.polarity is True:
            present.append(check.finding)
        elif check.polarity is False:
            denied.add(check.finding)
    yield from (name for name in dict.fromkeys(present) if name not in denied)
