"""Regions of the body, by the spellings of headers and descriptions: `body_regions.toml`.

Body Part Examined (0018,0015) has defined terms (PS3.16 Annex L), which many devices replace by words of
their own; HEAD, BRAIN and SKULL are one region here. A spelling may stand for several regions at once.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

Regions = frozenset[str]
UNKNOWN: Regions = frozenset()
_WORD = re.compile(r"[^\W_]+")
# Words of a description that are read; the rest of a longer one is not.
_MOST_WORDS = 200
# Regions of a picture of the whole body, with or without arms.
_WHOLE_BODY = 15
_SIDES = {
    "L": "left lt l li links gauche izquierda izquierdo esquerda esquerdo sinistra sinistro",
    "R": "right rt r re rechts droite droit derecha derecho direita direito destra destro",
    "LR": "bilateral bilat both b beidseits bilaterale",
}
_SIDE_WORDS = {word: sides for sides, words in _SIDES.items() for word in words.split()}


@dataclass(frozen=True, slots=True)
class Region:
    """A region: `near` are those that a look at a picture of it does not tell apart, `look` the words by
    which a text names it to the encoder; a `paired` one is there on each side.
    """

    name: str
    near: Regions
    look: tuple[str, ...]
    paired: bool


@dataclass(frozen=True, slots=True)
class ModalityRegion:
    """What a modality shows whatever Body Part Examined says; an `exclusive` one shows nothing else."""

    region: str
    exclusive: bool = False


def region_names() -> tuple[str, ...]:
    """The names of all regions."""
    return tuple(_regions())


def regions_of_body_part(value: str | None) -> Regions:
    """The regions that a value of Body Part Examined names; none for a value that is not known."""
    words = _words(value or "")
    if not words:
        return UNKNOWN
    joined = _joined_spellings().get("".join(words))
    return regions_in_words(value) if joined is None else joined


def spellings_alike(value: str) -> tuple[str, ...]:
    """A value of Body Part Examined with all that a header may write instead of it: where it names a region
    as such, every spelling of that region, else itself alone.
    """
    regions, joined = regions_of_body_part(value), "".join(_words(value))
    whole = {one for region in regions for one in _whole_spellings(region)}
    if not regions or (len(regions) == 1 and joined not in whole):
        return (value,)
    alike = [spelling for spelling, named in _spellings().items() if named == regions]
    values = (text.upper() for one in alike for text in (one, one.replace(" ", "")))
    return tuple(dict.fromkeys((value, *values)))


def regions_in_words(text: str | None) -> Regions:
    """The regions that the words of a description name: all of them, the longest spelling at each place."""
    words, spellings = _words(text or ""), _spellings()
    found: set[str] = set()
    place = 0
    while place < len(words):
        for length in range(min(_longest_spelling(), len(words) - place), 0, -1):
            spelling = " ".join(words[place : place + length])
            named = spellings.get(spelling)
            if named is not None:
                found |= UNKNOWN if spelling in _header_only() else named
                place += length
                break
        else:
            place += 1
    return frozenset(found)


@cache
def _header_only() -> frozenset[str]:
    return frozenset(table()["header_only"]["terms"])


def sides_in_words(text: str | None) -> frozenset[str]:
    """The sides, `L` and `R`, that the words of a description or a value of Laterality name."""
    return frozenset("".join(_SIDE_WORDS.get(word, "") for word in _words(text or "")))


def region_of_modality(modality: str | None) -> ModalityRegion | None:
    """The region that a modality alone tells: the breast of MG, the eye of OP."""
    return _modalities().get((modality or "").strip().upper())


def agree(one: Collection[str], other: Collection[str]) -> bool:
    """Whether two sets of regions can be the same part of the body: they share one, or have neighbours."""
    known = _regions()
    near = any(not known[name].near.isdisjoint(other) for name in one)
    near |= any(not known[name].near.isdisjoint(one) for name in other)
    return near or not set(one).isdisjoint(other)


def is_paired(regions: Collection[str]) -> bool:
    """Whether all of these are regions that have a left and a right one; false for none."""
    return bool(regions) and all(_regions()[name].paired for name in regions)


def in_words(regions: Collection[str]) -> str:
    """Regions as a person reads them: `the chest`, `the abdomen or the pelvis`."""
    ordered = [name for name in _regions() if name in regions]
    if len(ordered) >= _WHOLE_BODY:
        return "the whole body"
    if len(ordered) > 3:
        return f"one of {len(ordered)} parts of the body"
    return " or ".join(f"the {name.replace('-', ' ')}" for name in ordered)


def named(regions: Collection[str]) -> str | None:
    """Regions in the order of the vocabulary, joined by commas; `whole-body` for all, None for none."""
    if len(regions) >= _WHOLE_BODY:
        return "whole-body"
    return ", ".join(name for name in _regions() if name in regions) or None


def regions_named(names: str | None) -> Regions:
    """The regions that `named` wrote."""
    if names == "whole-body":
        return regions_of_body_part("WHOLEBODY")
    known = _regions()
    return frozenset(name for name in (names or "").split(", ") if name in known)


def table() -> Mapping[str, Any]:
    """The content of `body_regions.toml`."""
    return _table()


@cache
def _table() -> Mapping[str, Any]:
    file = resources.files("medsiglip.regions") / "body_regions.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


@cache
def _regions() -> Mapping[str, Region]:
    return {
        name: Region(name, frozenset(of.get("near", ())), tuple(of["look"]), of.get("paired", False))
        for name, of in _table()["regions"].items()
    }


@cache
def _spellings() -> Mapping[str, Regions]:
    """Regions by spelling, as words with one space between; what is to be ignored has none."""
    found: dict[str, Regions] = {}
    for name, of in _table()["regions"].items():
        found |= {_spelled(term): frozenset((name,)) for term in of["terms"]}
    for of in _table()["several"]:
        found |= {_spelled(term): frozenset(of["regions"]) for term in of["terms"]}
    return found | {_spelled(term): UNKNOWN for term in _table()["ignored"]["terms"]}


@cache
def _joined_spellings() -> Mapping[str, Regions]:
    return {spelling.replace(" ", ""): named for spelling, named in _spellings().items() if named}


@cache
def _whole_spellings(region: str) -> frozenset[str]:
    of = _table()["regions"][region]
    return frozenset("".join(_words(one)) for one in of.get("whole", of["terms"][:1]))


@cache
def _longest_spelling() -> int:
    return max(spelling.count(" ") + 1 for spelling in _spellings())


@cache
def _modalities() -> Mapping[str, ModalityRegion]:
    return {name: ModalityRegion(**of) for name, of in _table()["modalities"].items()}


def _spelled(term: str) -> str:
    return " ".join(_words(term))


def _words(text: str) -> Sequence[str]:
    """Lower-case words without accents; an underscore separates words as a space does."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text[:10_000]) if not unicodedata.combining(c))
    return _WORD.findall(plain.replace("ß", "ss").casefold())[:_MOST_WORDS]
