"""Routing rules against what exists: what can never hold is refused, what may come later is warned of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from medsiglip.index.errors import CatalogError, excerpt
from medsiglip.regions.vocabulary import UNKNOWN, in_words, regions_of_body_part

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.fitting import Fits
    from medsiglip.medgemma.routing.rules import Rule, ScoreCondition

_KNOWN = 20


def check_rule(archive: OpenedArchive, name: str, rule: Rule) -> None:
    """Raise DraftError `bad-route` for a rule that can never hold: it names a prompt set or a probe that is
    not there, a label that this does not have, or a modality that is none (PS3.3 C.7.3.1.1.1);
    `unknown-generator` for a generator that is not there.
    """
    from medsiglip.api.archive.drafts.generators import generator_named
    from medsiglip.ingest.header.header_texts import TERMS

    generator_named(archive.settings, rule.generator)
    exists = _Existing(archive, name)
    for modality in rule.modality:
        if modality.strip().upper() not in TERMS["Modality"] | exists.modalities:
            raise exists.bad(
                f"there is no modality {excerpt(modality)}; write a term of DICOM such as CR, DX, CT or MR"
            )
    for source in rule.options.findings:
        exists.labels(source)
    for score in rule.scores:
        labels = exists.labels(score.source)
        if score.label not in labels:
            known = ", ".join(labels[:_KNOWN])
            raise exists.bad(f"{score.source} has no label {excerpt(score.label)}; it has {known}")


def rule_warnings(archive: OpenedArchive, name: str, rule: Rule) -> tuple[str, ...]:
    """What a rule names that nothing in the archive has yet, a sentence each."""
    return tuple(_warnings(_Existing(archive, name), rule))


def _warnings(exists: _Existing, rule: Rule) -> Iterator[str]:
    name, filters = exists.name, exists.archive.index.filters
    missing = [one for one in rule.modality if one.strip().upper() not in exists.modalities]
    if missing:
        yield f"The route {name} waits for {' and '.join(missing)}: no series here is of that modality."
    held = {one.upper() for one in filters.held("body_part_examined")}
    for part in rule.body_part:
        if part.strip().upper() not in held and not regions_of_body_part(part):
            yield f"The route {name} asks for {excerpt(part)}, which no series here has and is no usual term."
    for expression in rule.filters:
        try:
            filters.check([expression])
        except CatalogError as error:
            if error.code != "bad-filter":
                raise
            yield f"The route {name} waits for what nothing here has yet: {error}"
    for score in rule.scores:
        fits = exists.fits(score)
        asked = UNKNOWN.union(*(regions_of_body_part(one) for one in rule.body_part))
        if fits is None:
            yield f"The route {name} scores by {score.source}, which is gone or has no {score.label} now."
        elif asked and fits.regions and asked.isdisjoint(fits.regions):
            yield (
                f"The route {name} asks for {in_words(asked)}, and {score.source} scores {score.label} only "
                f"on {in_words(fits.regions)}: no study fits, unless it shows both."
            )


class _Existing:
    """What a rule may name."""

    def __init__(self, archive: OpenedArchive, name: str) -> None:
        self.archive = archive
        self.name = name
        self.modalities = {one.upper() for one in archive.index.filters.held("modality")}
        self._probes = {one.name: one for one in archive.index.probes.listed()}

    def labels(self, source: str) -> tuple[str, ...]:
        """The labels of a source of scores."""
        from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set

        kind, _, name = source.partition(":")
        if kind == "prompts":
            sets = list_prompt_sets()
            if name not in sets:
                raise self.bad(f"there is no prompt set {name!r}; choose one of {', '.join(sets)}")
            return load_prompt_set(name).labels
        if name not in self._probes:
            known = ", ".join(self._probes) or "none"
            raise self.bad(f"there is no probe {name!r} in this home; the probes are {known}")
        return tuple(one["label"] for one in self._probes[name].summary["labels"])

    def fits(self, score: ScoreCondition) -> Fits | None:
        """What a label of a source fits; None if it is not there any more."""
        from medsiglip.medgemma.errors import DraftError
        from medsiglip.medgemma.fitting import Fits, fits_of_probe
        from medsiglip.zero_shot.prompt_file import load_prompt_set

        try:
            if score.label not in self.labels(score.source):
                return None
        except DraftError:
            return None
        kind, _, name = score.source.partition(":")
        if kind == "probe":
            return fits_of_probe(self._probes[name], score.label)
        prompts = load_prompt_set(name).prompts[score.label]
        return Fits(prompts.where, prompts.regions, prompts.population)

    def bad(self, reason: str) -> DraftError:
        """The error of a rule that cannot be used."""
        from medsiglip.medgemma.errors import DraftError

        return DraftError("bad-route", f"The route {self.name} cannot be used: {reason}.")
