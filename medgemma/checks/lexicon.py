"""The lexicon: findings by the words of reports, and the scores of a study by finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from medsiglip.medgemma.checks.terms import PhraseTable, table, words
from medsiglip.medgemma.records import Finding

EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a phrase states: that one of `findings` is present, or, if not `asserts`, absent. A `sign` of a
    finding states nothing where it is denied: an effusion may be there without a meniscus.
    """

    findings: tuple[str, ...]
    asserts: bool = True
    sign: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding of `terms/findings.toml`, where the fields are explained."""

    covers: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    kind_of: tuple[str, ...] = ()
    opposite: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    kind: str = "finding"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The findings by name, and the phrases for findings, for subjects and for states of subjects.

    `state_claims` has what a state of a subject claims, by (subject, state).
    """

    entries: Mapping[str, Entry]
    labels: Mapping[tuple[str, ...], str]
    phrases: PhraseTable[Claim]
    subjects: PhraseTable[str]
    states: PhraseTable[str]
    state_claims: Mapping[tuple[str, str], tuple[Claim, ...]]


@dataclass(frozen=True, slots=True)
class Score:
    """One finding of the evidence and what it is called in the lexicon; `own` if only by its own words."""

    finding: Finding
    name: str
    own: bool = False


@cache
def lexicon() -> Lexicon:
    """Return the bundled lexicon, read once."""
    data = table("findings")
    phrases: PhraseTable[Claim] = PhraseTable()
    labels: dict[tuple[str, ...], str] = {}
    for name, fields in data["findings"].items():
        for label in (name, *fields.get("names", ())):
            labels.setdefault(_label_words(label), name)
        for phrase in fields.get("phrases", ()):
            phrases.add(phrase, Claim((name,)))
        for phrase in fields.get("signs", ()):
            phrases.add(phrase, Claim((name,), sign=True))
        for phrase in fields.get("denials", ()):
            phrases.add(phrase, Claim((name,), asserts=False))
    subjects: PhraseTable[str] = PhraseTable()
    state_claims = {}
    for subject, fields in data["subjects"].items():
        for phrase in fields["words"]:
            subjects.add(phrase, subject)
        state_claims.update(
            {(subject, state): _claims(fields[state]) for state in fields if state != "words"}
        )
    states: PhraseTable[str] = PhraseTable()
    for state, texts in table("polarity")["states"].items():
        for phrase in texts:
            states.add(phrase, state)
    entries = {name: _entry(fields) for name, fields in data["findings"].items()}
    return Lexicon(entries, labels, phrases, subjects, states, state_claims)


def is_general(claim: Claim) -> bool:
    """Whether a claim is of all findings or of a group, as of "normal" or "no acute process"."""
    known = lexicon().entries.get(claim.findings[0])
    return claim.findings[0] == EVERYTHING or (known is not None and known.kind == "statement")


def scores(findings: Iterable[Finding]) -> tuple[Score, ...]:
    """Find each label in the lexicon: as `set/label` of its prompt set, by its name, or by its own words."""
    known = lexicon().labels
    found = []
    for finding in findings:
        set_name = finding.source.partition(":")[2]
        keys = (_label_words(f"{set_name}/{finding.label}"), _label_words(finding.label))
        name = next((known[key] for key in keys if key in known), None)
        found.append(Score(finding, name or f"own:{finding.label}", own=name is None))
    return tuple(found)


def own_phrases(of: Iterable[Score]) -> PhraseTable[Claim]:
    """Phrases for the labels that the lexicon does not know: their own words, unless those are words that
    reports use of anything, such as "normal" or "severe".
    """
    phrases: PhraseTable[Claim] = PhraseTable()
    for score in of:
        key = _label_words(score.finding.label)
        if score.finding.label and key and (score.own or key not in _lexicon_phrases()):
            if all(word in _general_words() for word in key):
                continue
            phrases.add_words(key, Claim((score.name,)))
    return phrases


def _lexicon_phrases() -> Mapping[tuple[str, ...], Any]:
    return lexicon().phrases.entries


@cache
def _general_words() -> frozenset[str]:
    polarity = table("polarity")
    lists = [*polarity["words"].values(), *polarity["scopes"].values(), *polarity["states"].values()]
    found = {word.text for texts in lists for text in texts if "(" not in text for word in words(text)}
    grades = "none mild moderate severe benign malignant other grade class abnormal positive negative yes no"
    return frozenset(found | set(grades.split()))


def _label_words(label: str) -> tuple[str, ...]:
    return tuple(word.text for word in words(label.replace("_", " ")))


def _entry(fields: Mapping[str, Any]) -> Entry:
    keys = ("covers", "instead", "beside", "kind_of", "opposite", "regions")
    lists = {key: tuple(fields.get(key, ())) for key in keys}
    return Entry(**lists, kind=fields.get("kind", "finding"))


def _claims(texts: Iterable[str]) -> tuple[Claim, ...]:
    return tuple(Claim(tuple(text[1:].split("|")), asserts=text[0] == "+") for text in texts)
