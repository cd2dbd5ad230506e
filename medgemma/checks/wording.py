"""Words without a basis in the evidence: of change without a prior study, and of another kind of picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from medsiglip.medgemma.checks.terms import PhraseTable, Word, phrase_table, table
from medsiglip.medgemma.records import Evidence

_ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of picture: its modalities and regions; an empty set stands for unknown."""

    modalities: frozenset[str]
    regions: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Fits:
    """The kinds of picture that a wording fits; empty fits all."""

    modalities: frozenset[str]
    regions: frozenset[str]


def kind_of_picture(evidence: Evidence) -> Kind:
    """Derive the kind of picture of the evidence from modality, body part and the words of the template's
    name.
    """
    named = {word.upper() for word in re.split(r"[^A-Za-z]+", evidence.template)}
    named |= {"X-RAY"} if "x-ray" in evidence.template.lower() else set()
    modality = {(evidence.modality or "").upper()}
    if evidence.region:
        modalities = _kinds(table("wording")["kinds"]["modality"], modality)
        return Kind(
            modalities or _kinds(table("wording")["kinds"]["modality"], named), _regions(evidence.region)
        )
    body_part = {(evidence.body_part_examined or "").upper().replace(" ", "")}
    kinds = table("wording")["kinds"]
    modalities = _kinds(kinds["modality"], modality) or _kinds(kinds["modality"], named)
    regions = _kinds(kinds["region"], body_part) | _kinds(kinds["region"], modality)
    return Kind(modalities, regions or _kinds(kinds["region"], named))


def _regions(named: str) -> frozenset[str]:
    """The regions of `kinds.region` that the names of `Evidence.region`, joined by commas, stand for."""
    kinds = table("wording")["kinds"]["region"]
    names = {name.strip().upper() for name in named.split(",")}
    if "WHOLE-BODY" in names:
        return frozenset()
    return _kinds(kinds, {name.replace("-", "") for name in names}) or frozenset({"other"})


def is_temporal(found: Sequence[Word]) -> bool:
    """Whether a sentence compares with an earlier picture: "unchanged", "new", "since the prior"."""
    texts = [word.text for word in found]
    kinds = [values for _, _, values in _temporal().found(texts)]
    return any("temporal" in values for values in kinds)


def is_of_another_picture(found: Sequence[Word], kind: Kind) -> bool:
    """Whether a sentence has words that fit other kinds of picture only.

    One that recommends or compares may name any.
    """
    texts = [word.text for word in found]
    if any(_ELSEWHERE in values for _, _, values in _other_studies().found(texts)):
        return False
    return any(not _fit(fits, kind) for _, _, fits in _pictures().found(texts))


def _fit(fits: Sequence[_Fits], kind: Kind) -> bool:
    return any(
        (not known.modalities or not kind.modalities or known.modalities & kind.modalities)
        and (not known.regions or not kind.regions or known.regions & kind.regions)
        for known in fits
    )


def _kinds(known: dict[str, list[str]], names: set[str]) -> frozenset[str]:
    return frozenset(kind for kind, spellings in known.items() if names & set(spellings))


@cache
def _temporal() -> PhraseTable[str]:
    data = table("wording")["temporal"]
    pairs = [
        (phrase, kind)
        for kind, key in (("temporal", "phrases"), ("static", "static"))
        for phrase in data[key]
    ]
    return phrase_table(pairs)


@cache
def _other_studies() -> PhraseTable[str]:
    return phrase_table((phrase, _ELSEWHERE) for phrase in table("wording")["temporal"]["elsewhere"])


@cache
def _pictures() -> PhraseTable[_Fits]:
    return phrase_table(
        (phrase, _Fits(frozenset(of.get("modalities", ())), frozenset(of.get("regions", ()))))
        for of in table("wording")["pictures"]
        for phrase in of["phrases"]
    )
