"""How a probe is to be trained, as it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.index.records import Level

LEAST_FOLDS, MOST_FOLDS = 5, 20


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """`exclusive`: the labels are classes of which each case has one. `pooling` is how the pictures of a
    series or study become one score. `folds` are those that figures are taken on, unless `split` names a
    column of the label CSV, or a stored quality, that says which cases are for training, validation and test.
    `class_weight` is None or `balanced`.
    """

    exclusive: bool = False
    pooling: Literal["mean", "max"] = "mean"
    folds: int = LEAST_FOLDS
    split: str | None = None
    class_weight: Literal["balanced"] | None = None

    def check(self, level: Level, labels: int | None) -> None:
        """Raise ServiceError for what does not go together at `level`, with so many labels if that is known:
        `bad-pooling`, `bad-folds`, `bad-class-weight` or `one-class`.
        """
        if self.pooling not in ("mean", "max"):
            raise ServiceError("bad-pooling", "the pooling is mean or max.")
        if self.pooling == "max" and level == "image":
            raise ServiceError(
                "bad-pooling",
                "an image has nothing to pool: ask for the level series or study with pooling max.",
            )
        if self.pooling == "max" and self.exclusive:
            raise ServiceError(
                "bad-pooling",
                "classes that exclude each other are pooled by the mean: the greatest scores of several "
                "pictures would not exclude each other.",
            )
        if not LEAST_FOLDS <= self.folds <= MOST_FOLDS:
            raise ServiceError(
                "bad-folds",
                f"ask for {LEAST_FOLDS} to {MOST_FOLDS} folds, not {self.folds}: fewer judge badly.",
            )
        if self.class_weight not in (None, "balanced"):
            raise ServiceError("bad-class-weight", "the class weight is balanced, or none.")
        if self.exclusive and labels == 1:
            raise ServiceError("one-class", "name at least two classes that exclude each other.")
