"""Routing rules as data: which studies go to a generator, and how often.

A rule is a table of TOML or a JSON object; a file of routes has one table for each, named by the route::

    [chest-effusion]
    studies = "new"               # new: those that gain images from now on; all: the whole archive
    enabled = true
    priority = 5                  # of its jobs; higher goes first
    modality = ["CR", "DX"]
    body_part = ["CHEST"]
    where = ["patient_age>=18"]   # as `--where`
    labels = ["pleural-effusion=1"]
    quality = ["near_blank=0"]
    scores = [{ source = "prompts:chest-xray", label = "pleural-effusion", at_least = 0.8 }]
    generator = "evidence-only"   # a name of the generators that are configured
    template = "chest-xray"       # a prompt template; left out: the one that fits
    context = true                # whether texts of similar cases are shown to the generator
    max_images = 4
    neighbours = 5                # similar cases kept in the evidence
    findings = ["prompts:chest-xray"]   # what scores the draft's findings; left out: all that fit
    per_hour = 20                 # studies sent in any hour, in any 24 hours, and ever
    per_day = 200
    total = 1000

Everything may be left out. A study fits when one of its images passes all that is said of images and its
scores, pooled over the study, pass theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from medsiglip.index.service.routing_rules import Budget

EVIDENCE_ONLY = "evidence-only"


@dataclass(frozen=True, slots=True)
class ScoreCondition:
    """That the probability of a label, by a source of scores, is at least and at most so much."""

    source: str
    label: str
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, probability: float | None) -> bool:
        """Whether a probability passes; a study that the source does not fit has none, and does not."""
        if probability is None:
            return False
        above = self.at_least is None or probability >= self.at_least
        return above and (self.at_most is None or probability <= self.at_most)

    def __str__(self) -> str:
        said = f"{self.source} {self.label}"
        if self.at_least is not None:
            said += f" >= {self.at_least:g}"
        return said if self.at_most is None else f"{said} <= {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class DraftOptions:
    """How a draft is made: the fields of a rule from `template` to `findings`."""

    template: str | None = None
    context: bool = True
    max_images: int | None = None
    neighbours: int = 5
    findings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The options as a rule has them, without those that are None."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["findings"] = list(self.findings)
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Rule:
    """A route's rule, checked; the module's text describes the fields."""

    studies: Literal["new", "all"] = "new"
    enabled: bool = True
    priority: int = 0
    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()
    scores: tuple[ScoreCondition, ...] = ()
    generator: str = EVIDENCE_ONLY
    options: DraftOptions = field(default_factory=DraftOptions)
    budget: Budget = field(default_factory=Budget)

    @property
    def filters(self) -> tuple[str, ...]:
        """What is said of images, as filter expressions."""
        among = (("modality", self.modality), ("body_part_examined", self.body_part))
        named = [f"{name}={'|'.join(values)}" for name, values in among if values]
        named += self.where
        named += [f"label:{one}" for one in self.labels]
        named += [f"quality.{one}" for one in self.quality]
        return tuple(named)

    def to_json(self) -> dict[str, Any]:
        """The rule as it would be written, without what it leaves to the defaults."""
        default = Rule()
        said: dict[str, Any] = {}
        for name in ("studies", "enabled", "priority", "generator"):
            if getattr(self, name) != getattr(default, name):
                said[name] = getattr(self, name)
        for name in ("modality", "body_part", "where", "labels", "quality"):
            if getattr(self, name):
                said[name] = list(getattr(self, name))
        if self.scores:
            said["scores"] = [
                {one.name: value for one in fields(score) if (value := getattr(score, one.name)) is not None}
                for score in self.scores
            ]
        ordinary = default.options.to_json()
        said |= {name: v for name, v in self.options.to_json().items() if v != ordinary.get(name)}
        limits = {one.name: getattr(self.budget, one.name) for one in fields(self.budget)}
        return said | {name: value for name, value in limits.items() if value is not None}
