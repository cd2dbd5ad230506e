"""Captions and short reports of phantoms, composed from the wording of their anatomy (`phrases/*.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from medsiglip.phantoms.study import Finding

__all__ = ["Phrases", "caption", "read_phrases", "report", "statements"]

_PLACES = {
    "upper zone": ("upper zone", "upper zone", "upper lobe", "upper lung"),
    "mid zone": ("mid zone", "mid zone", "middle zone", "mid lung"),
    "lower zone": ("lower zone", "lower zone", "lower lobe", "lung base"),
}
"""Places of the lung and other words for them."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """The wording of one anatomy: templates may hold {side}, {severity} and {location}.

    A template whose placeholder has no value in the finding is not used for it; so every finding has at least
    one template without placeholders. `view` names the kind of picture ("frontal chest radiograph"), `normal`
    states that nothing is wrong, `present` and `absent` hold templates for each finding, in the order of the
    anatomy's `FINDINGS`.
    """

    view: tuple[str, ...]
    normal: tuple[str, ...]
    present: Mapping[str, tuple[str, ...]]
    absent: Mapping[str, tuple[str, ...]]


@cache
def read_phrases(anatomy: str) -> Phrases:
    """Read the wording of one anatomy of `medsiglip.phantoms.catalogue.ANATOMIES`, once."""
    file = resources.files("medsiglip.phantoms") / "phrases" / f"{anatomy}.toml"
    fields = tomllib.loads(file.read_text(encoding="utf-8"))
    present, absent = (
        {finding: tuple(texts) for finding, texts in fields[table].items()} for table in ("present", "absent")
    )
    return Phrases(tuple(fields["view"]), tuple(fields["normal"]), present, absent)


def caption(rng: np.random.Generator, phrases: Phrases, findings: Sequence[Finding]) -> str:
    """Return a short caption of one image that shows `findings`, varied by `rng`.

    About half of the captions name the kind of picture, some add what is absent, and one without findings
    states that nothing is wrong.
    """
    parts = [_present(rng, phrases, finding) for finding in rng.permutation(np.array(findings, dtype=object))]
    absent = _absent_names(phrases, findings)
    if not parts:
        if absent and rng.random() < 0.35:
            parts = [
                _absent(rng, phrases, str(name)) for name in rng.permutation(absent)[: rng.integers(1, 3)]
            ]
        else:
            parts = [_pick(rng, phrases.normal)]
    elif absent and rng.random() < 0.12:
        parts.append(_absent(rng, phrases, str(_pick(rng, absent))))
    text = ", ".join(parts)
    if rng.random() < 0.5:
        return text
    view = _pick(rng, phrases.view)
    joint = str(
        rng.choice([f"{view}, {text}", f"{view}: {text}", f"{text} on {view}", f"{view} with {text}"])
    )
    return joint if findings else f"{view}, {text}"


def report(rng: np.random.Generator, phrases: Phrases, findings: Sequence[Finding]) -> str:
    """Return a short report: the kind of picture, each finding with side and severity, and what is absent.

    A finding is stated by one of the templates that use the most of side, severity and location.
    """
    sentences = [_pick(rng, phrases.view)]
    sentences += [_present(rng, phrases, finding, fully=True) for finding in findings]
    sentences += [_absent(rng, phrases, name) for name in _absent_names(phrases, findings)]
    if not findings:
        sentences.append(_pick(rng, phrases.normal))
    return " ".join(_sentence(text) for text in sentences)


def statements(phrases: Phrases, findings: Sequence[Finding]) -> list[str]:
    """Return every true statement about an image that shows `findings`, each once.

    These are the kinds of picture, every template that fits a finding, every denial of what is absent, and
    without findings every phrase for a normal image.
    """
    texts = [*phrases.view]
    for finding in findings:
        for known in _known_values(finding):
            texts += [_fill(template, finding, known) for template in _fitting(phrases, finding, known)]
    for name in _absent_names(phrases, findings):
        texts += phrases.absent[name]
    if not findings:
        texts += phrases.normal
    return list(dict.fromkeys(texts))


def _known_values(finding: Finding) -> list[dict[str, str]]:
    """Return what is known of a finding, once with each word for its place."""
    values = {"side": finding.side, "severity": finding.severity}
    known = {key: value for key, value in values.items() if value is not None}
    if finding.location is None:
        return [known]
    places = _PLACES.get(finding.location, (finding.location,))
    return [{**known, "location": place} for place in dict.fromkeys(places)]


def _fitting(phrases: Phrases, finding: Finding, known: Mapping[str, str]) -> list[str]:
    missing = {"side", "severity", "location"} - known.keys()
    return [
        template
        for template in phrases.present[finding.name]
        if all("{" + key + "}" not in template for key in missing)
    ]


def _fill(template: str, finding: Finding, known: Mapping[str, str]) -> str:
    text = template.format(**known)
    if finding.side == "bilateral":
        text = text.replace("bilateral pleural effusion", "bilateral pleural effusions")
        text = text.replace("there is a ", "there are ").replace("a bilateral", "bilateral")
    return text


def _present(rng: np.random.Generator, phrases: Phrases, finding: Finding, *, fully: bool = False) -> str:
    """Return one template of the finding, filled; `fully` keeps to those with the most placeholders."""
    known: dict[str, str] = {}
    if finding.location in _PLACES:
        known["location"] = _pick(rng, _PLACES[finding.location])
    known = {**_known_values(finding)[0], **known}
    fitting = _fitting(phrases, finding, known)
    richness = [sum("{" + key + "}" in template for key in known) for template in fitting]
    if fully:
        fitting = [t for t, count in zip(fitting, richness, strict=True) if count == max(richness)]
    elif rng.random() < 0.4 and max(richness) > 0:
        fitting = [t for t, count in zip(fitting, richness, strict=True) if count > 0]
    return _fill(_pick(rng, fitting), finding, known)


def _absent(rng: np.random.Generator, phrases: Phrases, name: str) -> str:
    return _pick(rng, phrases.absent[name])


def _absent_names(phrases: Phrases, findings: Sequence[Finding]) -> list[str]:
    present = {finding.name for finding in findings}
    return [name for name in phrases.absent if name not in present]


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return str(choices[int(rng.integers(len(choices)))])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
