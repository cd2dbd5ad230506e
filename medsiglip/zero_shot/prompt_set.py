"""Prompt sets: labels and the texts that stand for them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from medsiglip.regions.vocabulary import UNKNOWN, Regions

Kind = Literal["findings", "classes", "names", "labels", "exclusive-labels"]


@dataclass(frozen=True, slots=True)
class Population:
    """The patients that prompts or a probe are made for, by age in years; None is no bound."""

    minimum_age: float | None = None
    maximum_age: float | None = None

    def fits(self, age: float | None) -> bool:
        """Whether a patient of this age is one of them; one of unknown age is."""
        if age is None:
            return True
        above = self.minimum_age is None or age >= self.minimum_age
        return above and (self.maximum_age is None or age <= self.maximum_age)

    def __str__(self) -> str:
        low, high = self.minimum_age, self.maximum_age
        if low is None:
            return "any age" if high is None else f"at most {high:g} years"
        return f"{low:g} years and over" if high is None else f"{low:g} to {high:g} years"


EVERYBODY = Population()


@dataclass(frozen=True, slots=True)
class LabelPrompts:
    """The texts that stand for one label; `absent` is empty where labels compete with each other.

    `where` are the filters of this label: the set's own, then those of the finding. `regions` are the parts
    of the body that it is about, none for any, and `population` its patients. `negated` tells a free label
    that says what is not there: its `present` texts are the absent ones of the finding, and the reverse.
    """

    present: tuple[str, ...]
    absent: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    regions: Regions = UNKNOWN
    population: Population = EVERYBODY
    negated: bool = False


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Labels and the texts that stand for them.

    `kind` says how labels compete: "findings" and "labels" (free labels of a caller) each on its own, absent
    against present; "classes", "names" and "exclusive-labels" against each other. `where` tells which images
    the set fits, as filter expressions, `regions` and `population` which parts of the body and patients.
    """

    name: str
    kind: Kind
    prompts: Mapping[str, LabelPrompts]
    where: tuple[str, ...] = ()
    source: str = ""
    regions: Regions = UNKNOWN
    population: Population = EVERYBODY

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the file."""
        return tuple(self.prompts)

    @property
    def exclusive(self) -> bool:
        """Whether one label is right and the others are not, so that their scores add up to 1."""
        return self.kind not in ("findings", "labels")

    @property
    def is_free(self) -> bool:
        """Whether the labels are a caller's own, without a file."""
        return self.kind in ("labels", "exclusive-labels")

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of what scores depend on: kind, labels and texts, in their order."""
        texts = [[label, one.present, one.absent, one.negated] for label, one in self.prompts.items()]
        content = json.dumps([self.kind, texts], ensure_ascii=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()
