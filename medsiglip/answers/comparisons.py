"""Figures of two models, two groups of cases, or images as they are and as they could have come."""

from __future__ import annotations

from typing import Literal

from medsiglip.answers.answer import Answer, Figure, Level

Interval = tuple[Figure, Figure]
"""A 95 % interval."""


class ComparedSpace(Answer):
    """A space of the home: what made its vectors."""

    name: str
    model: str
    profile: str


class FigureDifference(Answer):
    """A figure of one label, or of all together where `label` is None, in the `first` and the `second` space
    or state; `difference` is the second less the first. `reason` says why there is no interval.
    """

    figure: str
    label: str | None = None
    first: Figure
    second: Figure
    difference: Figure
    difference_ci: Interval
    reason: str | None = None


class SpaceComparison(Answer):
    """Two models or profiles on the same cases: those of which both spaces have a vector; `left_out` counts
    the images that one of them lacks. Each interval is of one figure alone: of many, one in twenty misses.
    """

    kind: Literal["retrieval", "zero-shot", "probe"]
    level: Level
    spaces: tuple[ComparedSpace, ComparedSpace]
    cases: int
    patients: int
    left_out: int
    compare: Literal["means", "sets"] | None = None
    prompts: str | None = None
    probe: str | None = None
    figures: tuple[FigureDifference, ...]
    warnings: tuple[str, ...] = ()
