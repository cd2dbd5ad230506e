"""Captions and short reports of drawings, put together from the wording of their anatomy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medsiglip.phantoms.study import Finding, Phrases

__all__ = ["caption", "report", "statements"]

_PLACES = {
    "upper zone": ("upper zone", "upper zone", "upper lobe", "upper lung"),
    "mid zone": ("mid zone", "mid zone", "middle zone", "mid lung"),
    "lower zone": ("lower zone", "lower zone", "lower lobe", "lung base"),
}
"""Places of the lung and other words for them."""


def caption(
    rng: np.random.Generator, phrases: Phrases, findings: Sequence[Finding], all_findings: Sequence[str]
) -> str:
    """Return a short caption of one image, varied by `rng`.

    `findings` are those to be seen in the image and `all_findings` the names that its anatomy can show.
    About half of the captions name the kind of picture, some add what is absent, and one without findings
    says so.
    """
    parts = [_present(rng, phrases, finding) for finding in rng.permutation(np.array(findings, dtype=object))]
    absent = _absent_names(findings, all_findings)
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


def report(
    rng: np.random.Generator, phrases: Phrases, findings: Sequence[Finding], all_findings: Sequence[str]
) -> str:
    """Return a short report: the kind of picture, each finding with side and severity, and what is absent.

    A finding is stated by one of the templates that use the most of side, severity and location.
    """
    sentences = [_pick(rng, phrases.view)]
    sentences += [_present(rng, phrases, finding, fully=True) for finding in findings]
    sentences += [_absent(rng, phrases, name) for name in _absent_names(findings, all_findings)]
    if not findings:
        sentences.append(_pick(rng, phrases.normal))
    return " ".join(_sentence(text) for text in sentences)


def statements(phrases: Phrases, findings: Sequence[Finding], all_findings: Sequence[str]) -> list[str]:
    """Return all that one image's wording can say of it in one phrase, each of which is true.

    The kinds of picture, every template that fits each finding, every denial of what is absent, and without
    findings every way to say so.
    """
    said = [*phrases.view]
    for finding in findings:
        for known in _known_values(finding):
            said += [_fill(template, finding, known) for template in _fitting(phrases, finding, known)]
    for name in _absent_names(findings, all_findings):
        said += phrases.absent[name]
    if not findings:
        said += phrases.normal
    return list(dict.fromkeys(said))


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


def _absent_names(findings: Sequence[Finding], all_findings: Sequence[str]) -> list[str]:
    present = {finding.name for finding in findings}
    return [name for name in all_findings if name not in present]


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return str(choices[int(rng.integers(len(choices)))])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
