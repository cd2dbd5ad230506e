"""Prompt sets: labels and the texts that stand for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from medsiglip.regions.vocabulary import UNKNOWN, Regions

Kind = Literal["findings", "classes", "names", "labels"]


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
    """The texts that stand for one label; `absent` is empty unless the label is a finding.

    `where` are the filters of this label: the set's own, then those of the finding. `regions` are the parts
    of the body that it is about, none for any, and `population` its patients.
    """

    present: tuple[str, ...]
    absent: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    regions: Regions = UNKNOWN
    population: Population = EVERYBODY


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Labels and the texts that stand for them.

    `kind` says how labels compete: "findings" each on its own, absent against present; "classes", "names" and
    "labels" (free labels of a caller) against each other. `where` tells which images the set fits, as filter
    expressions, `regions` and `population` which parts of the body and patients.
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
