"""The answer of `index tune`: ways to search that were tried, and the one that was chosen."""

from __future__ import annotations

from pydantic import Field

from medsiglip.answers.answer import Answer
from medsiglip.answers.service import MeasuredRecall


class TuningTrial(Answer):
    """A way to search: how much of the exact answers it found, and what one query and its codes cost."""

    kind: str = Field(description="flat and bounded are exact; quick is approximate", examples=["quick"])
    spec: str = Field(examples=["PQ64x4fs"])
    candidates: int | None = Field(description="rows that are ranked; null: as many as a proof needs")
    recall: MeasuredRecall
    milliseconds: float
    code_bytes: int = Field(description="bytes of codes, which come on top of the vectors")


class IndexTuning(Answer):
    """All trials; `chosen` is the one that takes least time among those that reach `recall`."""

    space: str
    recall: float
    trials: tuple[TuningTrial, ...]
    chosen: TuningTrial
    applied: bool
    plot: str | None = None
    warnings: tuple[str, ...] = ()
