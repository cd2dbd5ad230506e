"""What the rows of a training say of its labels, and how much each row counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.numerics import Floats, Integers

Flags = npt.NDArray[np.bool_]

MINIMUM_GROUPS = 3
"""Groups with a positive row, and groups with a negative row, that a label needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """`values` [n, L] are 1, 0 or NaN (not known). Of classes that exclude each other, `exclusive`, a row has
    exactly one, or is not known in any.
    """

    names: tuple[str, ...]
    values: Floats
    exclusive: bool

    @property
    def known(self) -> Flags:
        """Rows [n] of which something is known."""
        known: Flags = np.any(~np.isnan(self.values), axis=1)
        return known

    def of(self, rows: Flags, columns: Sequence[int]) -> "Targets":
        """Some rows and columns. Without a class, its rows are not known."""
        names = tuple(self.names[column] for column in columns)
        values = self.values[rows][:, columns]
        if self.exclusive:
            values[~(values == 1.0).any(axis=1)] = np.nan
        return Targets(names, values, self.exclusive)


def targets_of(labels: Mapping[str, npt.ArrayLike], rows: int, groups: int, exclusive: bool) -> Targets:
    """The targets of labels [rows] of 1, 0 or NaN.

    Where labels exclude each other, a row is of the class that is 1 in it, whatever the others are. Raises
    ModelError: "no-labels", "shape-mismatch", "label-not-binary", "one-class" or "classes-not-exclusive".
    """
    if not labels:
        raise ModelError("no-labels", "There is no label to train on; import labels or name one.")
    columns = [np.asarray(values, dtype=np.float64) for values in labels.values()]
    for name, column in zip(labels, columns, strict=True):
        if column.shape != (rows,) or groups != rows:
            message = f"Label '{name}' has {column.size} values for {rows} vectors and {groups} groups"
            raise ModelError("shape-mismatch", f"{message}; give one of each for every row.")
        if not np.isin(column[~np.isnan(column)], (0.0, 1.0)).all():
            message = f"Label '{name}' has a value that is neither 0, 1 nor empty; correct the label column."
            raise ModelError("label-not-binary", message)
    values = np.stack(columns, axis=1)
    if exclusive:
        values = _one_class_each(tuple(labels), values)
    return Targets(tuple(labels), values, exclusive)


def _one_class_each(names: tuple[str, ...], values: Floats) -> Floats:
    if len(names) < 2:
        raise ModelError(
            "one-class", f"There is one class only, '{names[0]}'; name at least two that exclude each other."
        )
    held = values == 1.0
    several = np.flatnonzero(held.sum(axis=1) > 1)
    if several.size:
        both = " and ".join(f"'{names[column]}'" for column in np.flatnonzero(held[several[0]])[:2])
        raise ModelError(
            "classes-not-exclusive",
            f"{several.size} rows are of more than one class, such as {both}; correct their labels, or train "
            "without excluding.",
        )
    return np.where(held.any(axis=1)[:, None], held.astype(np.float64), np.nan)


def sufficient(targets: Targets, groups: Integers, tested: Flags | None) -> tuple[list[int], list[str]]:
    """The columns with enough groups [n] of both classes, and a sentence for each of the others.

    With `tested` [n], a given part of the rows, the others must be enough, and `tested` hold both classes.
    Raises ModelError "one-class" or "too-few-groups" when no column is left, or one class of several.
    """
    kept: list[int] = []
    sentences: list[str] = []
    single = 0
    for column, name in enumerate(targets.names):
        values = targets.values[:, column]
        sentence = _one_class(name, values) or _too_few(name, values, groups, tested)
        single += _one_class(name, values) is not None
        if sentence is None:
            kept.append(column)
        else:
            sentences.append(sentence)
    if len(kept) < (2 if targets.exclusive else 1):
        raise ModelError("one-class" if single == len(sentences) else "too-few-groups", " ".join(sentences))
    return kept, sentences


def _one_class(name: str, values: Floats) -> str | None:
    positive, negative = int((values == 1.0).sum()), int((values == 0.0).sum())
    if positive and negative:
        return None
    if not positive and not negative:
        return f"Label '{name}' has no row whose value is known; import its labels."
    return (
        f"Label '{name}' is {'positive' if positive else 'negative'} in all {positive + negative} rows where "
        "it is known; a probe needs cases with it and cases without it."
    )


def _too_few(name: str, values: Floats, groups: Integers, tested: Flags | None) -> str | None:
    trained = np.ones(len(values), dtype=bool) if tested is None else ~tested
    classes = (values == 1.0, values == 0.0)
    counts = [len(np.unique(groups[rows & trained])) for rows in classes]
    if min(counts) < MINIMUM_GROUPS:
        where = "" if tested is None else " in the training part"
        return (
            f"Label '{name}' has {(classes[0] & trained).sum()} positive rows from {counts[0]} groups and "
            f"{(classes[1] & trained).sum()} negative rows from {counts[1]}{where}; label at least "
            f"{MINIMUM_GROUPS} groups (patients) of each."
        )
    if tested is not None and not all((rows & tested).any() for rows in classes):
        lacking = "positive" if not (classes[0] & tested).any() else "negative"
        return f"Label '{name}' has no {lacking} row in the test part; move some patients there."
    return None


def weights(targets: Targets, shares: Floats, inside: Flags, balanced: bool) -> Floats:
    """How much each row counts for each column, [n, L], or [n, 1] of classes that exclude each other.

    `shares` [n] are the rows' own; rows that are not `inside` [n] have a weight, too, for judging there.
    Balanced, both values of a label (all classes) have the same sum among those inside: scikit-learn's
    ``class_weight="balanced"``, n / (classes * n of the class).
    """
    if targets.exclusive:
        known = targets.known
        weight = (shares * known)[:, None]
        if balanced:
            counts = (np.nan_to_num(targets.values) * (shares * inside)[:, None]).sum(axis=0)
            factors = counts.sum() / (np.maximum(counts, 1e-300) * (counts > 0).sum())
            factors = np.where(counts > 0, factors, 0.0)
            weight = weight * (np.nan_to_num(targets.values) @ factors)[:, None]
        return weight
    weight = shares[:, None] * ~np.isnan(targets.values)
    if balanced:
        held = weight * inside[:, None]
        positive = (held * (targets.values == 1.0)).sum(axis=0)
        negative = (held * (targets.values == 0.0)).sum(axis=0)
        both = (positive > 0) & (negative > 0)
        half = (positive + negative) / 2.0
        of_positive = np.where(both, half / np.maximum(positive, 1e-300), 1.0)
        of_negative = np.where(both, half / np.maximum(negative, 1e-300), 1.0)
        weight = weight * np.where(targets.values == 1.0, of_positive, of_negative)
    return weight
