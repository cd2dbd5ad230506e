"""Labels as readers give them: what each said, how they agree, and what to label next."""

from __future__ import annotations

from typing import Literal

from medsiglip.answers.answer import Answer, Figure, Moment
from medsiglip.answers.browsing import Case

Order = Literal["uncertainty", "diversity", "random", "disagreement"]


class GivenLabel(Answer):
    """What a reader said of a study, series or instance, by its `uid`; `value` is null where a label was
    taken back. `reader` is null for what nobody is named for, such as labels that came with files, and
    `given_at` where that is not known. What is `current` was not replaced or taken back since.
    """

    name: str
    value: float | None
    reader: str | None
    given_at: Moment | None
    current: bool
    level: str
    uid: str


class LabelHistory(Answer):
    """All that readers said of a study and what it holds, the earliest first."""

    study_instance_uid: str
    labels: tuple[GivenLabel, ...]


class UndoneLabels(Answer):
    """What an undoing changed: the labels of these names, of `cases` studies, series or instances, which
    these `studies` hold.
    """

    studies: tuple[str, ...]
    labels: tuple[str, ...]
    cases: int


class ReaderPair(Answer):
    """How two readers agree on the `n` cases that both read: the share of equal values, and Cohen's kappa
    with its interval; null where both said one thing of all.
    """

    readers: tuple[str, str]
    n: int
    agreement: Figure
    kappa: Figure
    kappa_ci: tuple[Figure, Figure]


class LabelAgreement(Answer):
    """How readers agree on a label. `alpha` is Krippendorff's, of all readers together on the `cases` that
    two or more read; `disagreements` are the studies of which readers say both. `undecided` counts the cases
    that they divide evenly, of which the archive has no label.
    """

    label: str
    readers: tuple[str, ...]
    cases: int
    patients: int
    alpha: Figure
    alpha_ci: tuple[Figure, Figure]
    pairs: tuple[ReaderPair, ...]
    disagreements: tuple[str, ...]
    undecided: int
    warnings: tuple[str, ...] = ()


class LearningStep(Answer):
    """The AUROC, out of fold, of a linear fit to the first `n` studies that were labelled, of which so many
    are `positive`; null where there are too few of either.
    """

    n: int
    positive: int
    auroc: Figure
    auroc_ci: tuple[Figure, Figure]


class LearningCurve(Answer):
    """How a probe would have grown with the labels as they came."""

    label: str
    points: tuple[LearningStep, ...]
    warnings: tuple[str, ...] = ()


class LabelQueue(Answer):
    """Studies for a reader to label next, in order, of the `remaining` that this reader has not labelled, as
    `labelled` were. `by` says what an order by uncertainty is measured with: a probe, or null.
    """

    label: str
    order: Order
    cases: tuple[Case, ...]
    labelled: int
    remaining: int
    by: str | None = None
    warnings: tuple[str, ...] = ()
