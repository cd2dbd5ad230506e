"""Training a probe: logistic regression on normalised embeddings, judged on patients it has not seen.

Every figure is out of fold, and folds never split a group (patient); or it is of a given test part. Within
each training part, C is chosen from `STRENGTHS` on inner folds, again by group, or on a given validation
part, as the one with the least log-loss there; the least log-loss also gives probabilities that can be used
as such. The probe that is kept is fitted on all rows but those of a given test part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.figures.metrics import estimate_scores, estimate_threshold, group_codes, macro
from medsiglip.numerics import Floats, Integers, sigmoid
from medsiglip.probes.fitting import STRENGTHS, Fitted, Fitting, Part
from medsiglip.probes.out_of_fold import OutOfFold
from medsiglip.probes.patient_folds import group_folds
from medsiglip.probes.probe import Probe, class_odds, softmax, unit_rows
from medsiglip.probes.report import LabelReport, ProbeReport
from medsiglip.probes.split import Split
from medsiglip.probes.targets import Flags, Targets, sufficient, targets_of

MINIMUM_FOLDS = 5
OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a probe is trained. `folds` are those that figures are taken on, `inner_folds` those that C is
    chosen on; `balanced` weighs rows so that both values of a label count the same; `exclusive`: the labels
    are classes of which each row has one.
    """

    folds: int = MINIMUM_FOLDS
    inner_folds: int = 3
    seed: int = 0
    exclusive: bool = False
    balanced: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """The C that were tried, and the mean log-loss [S, L] of each on held-out rows of the probe that is kept,
    NaN where it was not tried; its `c` [L], and those of the folds [F, L].
    """

    strengths: tuple[float, ...]
    loss: Floats
    c: Floats
    c_of_folds: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A probe, what was predicted on rows that it, or the probe of their fold, has not seen, and how C was
    chosen.
    """

    probe: Probe
    out_of_fold: OutOfFold
    choices: Choices


def train(
    vectors: npt.NDArray[np.floating[Any]],
    labels: Mapping[str, npt.ArrayLike],
    groups: Sequence[object],
    *,
    space: str,
    options: TrainingOptions | None = None,
    bags: Integers | None = None,
    split: Split | None = None,
    on_progress: OnProgress = lambda _stage, _done, _total: None,
) -> Trained:
    """Train a probe for the labels [n] of 0, 1 or NaN on vectors [n, d] with one group for each row.

    With `bags` [m] there are m vectors, of pictures, and each belongs to the row with that number: a row's
    scores are the greatest of its pictures', which count together as one row. With `split` there is a test
    part instead of folds. `on_progress` is told of each stage, how much of it is done, and of how much; what
    it raises ends the training.

    The out-of-fold AUROC pools the rows of all folds. Intervals do not include how much the probe itself
    would vary with another training set. Each fold's logits are taken relative to the base rate it was
    trained with: a fold with more positives leaves fewer to train on, and pooling raw logits would count that
    against a probe that knows nothing (Forman and Scholz, SIGKDD Explorations 2010).

    A label with too few groups of either class is left out with a warning. Raises ModelError:
    "too-few-groups" or "one-class" when no label is left, "label-not-binary", "classes-not-exclusive",
    "shape-mismatch", "vector-not-finite", "no-labels", "patient-in-two-splits", "bad-folds",
    "pooling-of-classes".
    """
    options = options or TrainingOptions()
    _require(options, bags)
    rows = unit_rows(vectors)
    data = _Data.of(
        rows,
        targets_of(labels, _count(rows, groups, bags), len(groups), options.exclusive),
        groups,
        bags,
        split,
    )
    fitting = Fitting(data.vectors, data.targets, options.balanced, data.bag, on_progress)
    parts, tests = data.parts(options)
    choice = fitting.choose(parts)
    fitted = fitting.fit(parts, choice.c)
    on_progress("figures", 0, None)
    out_of_fold = _out_of_fold(fitting, fitted, tests, data)
    c = choice.c[-1]
    warnings = (*data.warnings, *edge_warnings(data.targets, c))
    probe = Probe(
        space,
        data.targets.names,
        # In the order in which a file keeps them: products of other strides differ in the last bit.
        np.ascontiguousarray(fitted[-1].coef),
        fitted[-1].intercept,
        c,
        replace(_report(out_of_fold, c, warnings, options.seed), groups=int(data.codes.max()) + 1),
        exclusive=options.exclusive,
        pooling="mean" if bags is None else "max",
    )
    return Trained(probe, out_of_fold, Choices(STRENGTHS, choice.loss[:, -1], c, choice.c[: len(tests)]))


def fit_at(
    vectors: npt.NDArray[np.floating[Any]], truth: Floats, c: Floats, exclusive: bool = False
) -> tuple[Floats, Floats]:
    """Coefficients [L, d] and intercepts [L] for `truth` [n, L] of 1, 0 or NaN on unit vectors [n, d], each
    label at its C [L].
    """
    rows = unit_rows(vectors)
    targets = Targets(tuple(str(column) for column in range(truth.shape[1])), truth, exclusive)
    fitting = Fitting(rows, targets, False, None, lambda _stage, _done, _total: None)
    whole = Part(np.ones(len(rows), dtype=bool), np.full(len(rows), -1), 0)
    [fitted] = fitting.fit([whole], c[None])
    return fitted.coef, fitted.intercept


def _require(options: TrainingOptions, bags: Integers | None) -> None:
    if options.folds < MINIMUM_FOLDS:
        raise ModelError(
            "bad-folds",
            f"{options.folds} folds are too few to judge a probe by; ask for at least {MINIMUM_FOLDS}.",
        )
    if options.exclusive and bags is not None:
        raise ModelError(
            "pooling-of-classes",
            "Classes that exclude each other are pooled by the mean: the greatest scores of several pictures "
            "would not exclude each other. Choose the pooling mean, or train without excluding.",
        )


def _count(rows: Floats, groups: Sequence[object], bags: Integers | None) -> int:
    """How many rows there are; with `bags`, as many as groups."""
    if bags is None:
        return len(rows)
    if len(bags) != len(rows) or (len(bags) and not 0 <= bags.min() <= bags.max() < len(groups)):
        raise ModelError("shape-mismatch", "Each vector needs the number of the row that it belongs to.")
    return len(groups)


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """The labelled rows of a training: their positions among all, groups by number, and given split. `bag` is
    the row of each vector, where these are pooled.
    """

    vectors: Floats
    targets: Targets
    positions: Integers
    codes: Integers
    bag: Integers | None
    split: Split | None
    warnings: tuple[str, ...]

    @staticmethod
    def of(
        vectors: Floats,
        targets: Targets,
        groups: Sequence[object],
        bags: Integers | None,
        split: Split | None,
    ) -> "_Data":
        used = targets.known
        if bags is not None:
            used &= np.bincount(bags, minlength=len(used)) > 0
        if split is not None:
            split.require_apart(groups, used)
            used &= split.given
        codes = group_codes([group for group, keep in zip(groups, used, strict=True) if keep])
        given = None if split is None else split.rows(used)
        every = range(len(targets.names))
        kept, warnings = sufficient(targets.of(used, every), codes, None if given is None else given.test)
        bag = None
        if bags is None:
            vectors = vectors[used]
        else:
            mine = used[bags]
            vectors, bag = vectors[mine], (np.cumsum(used) - 1)[bags[mine]]
        data = _Data(
            vectors, targets.of(used, kept), np.flatnonzero(used), codes, bag, given, tuple(warnings)
        )
        return data if data.targets.known.all() else data._without_unknown()

    def parts(self, options: TrainingOptions) -> tuple[list[Part], list[Flags]]:
        """What is fitted, the probe that is kept last, and the rows [n] that each of the first is tested on.

        Folds have probes of their own. With a split, the probe that is kept is tested on the test part.
        """
        every = np.ones(len(self.codes), dtype=bool)
        if self.split is not None:
            inside = ~self.split.test
            if not self.split.validation.any():
                return [self._part(inside, options.inner_folds, options.seed)], [self.split.test]
            held = np.where(self.split.validation, 0, -1)
            return [Part(inside, held, 1)], [self.split.test]
        folds = min(options.folds, len(np.unique(self.codes)))
        fold = group_folds(self.targets.values, self.codes, folds, options.seed)
        parts = [
            self._part(fold != number, options.inner_folds, options.seed + 1 + number)
            for number in range(folds)
        ]
        parts.append(self._part(every, options.inner_folds, options.seed))
        return parts, [fold == number for number in range(folds)]

    def _part(self, inside: Flags, folds: int, seed: int) -> Part:
        folds = min(folds, len(np.unique(self.codes[inside])))
        held = np.full(len(inside), -1)
        if folds < 2:
            return Part(inside, held, 0)
        held[inside] = group_folds(self.targets.values[inside], self.codes[inside], folds, seed)
        return Part(inside, held, folds)

    def _without_unknown(self) -> "_Data":
        """Without the rows of which only labels were known that are left out."""
        known = self.targets.known
        split = None if self.split is None else self.split.rows(known)
        every = range(len(self.targets.names))
        targets = self.targets.of(known, every)
        if self.bag is None:
            vectors, bag = self.vectors[known], None
        else:
            mine = known[self.bag]
            vectors, bag = self.vectors[mine], (np.cumsum(known) - 1)[self.bag[mine]]
        codes = np.unique(self.codes[known], return_inverse=True)[1]
        return _Data(vectors, targets, self.positions[known], codes, bag, split, self.warnings)


def _out_of_fold(
    fitting: Fitting, fitted: Sequence[Fitted], tests: Sequence[Flags], data: _Data
) -> OutOfFold:
    """What each probe says of the rows that it is tested on."""
    shape = data.targets.values.shape
    logits, scores, fold = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape[0], -1)
    for number, test in enumerate(tests):
        logits[test] = fitting.logits(fitted[number], test)
        odds = class_odds(logits[test]) if data.targets.exclusive else logits[test]
        scores[test] = odds - fitted[number].base
        fold[test] = number
    rows = fold >= 0
    return OutOfFold(
        labels=data.targets.names,
        rows=data.positions[rows],
        groups=np.unique(data.codes[rows], return_inverse=True)[1],
        fold=fold[rows],
        truth=data.targets.values[rows],
        logits=logits[rows],
        probability=softmax(logits[rows]) if data.targets.exclusive else sigmoid(logits[rows]),
        scores=scores[rows],
        exclusive=data.targets.exclusive,
    )


def edge_warnings(targets: Targets, c: Floats) -> list[str]:
    """A sentence for each label whose C [L] is the least or the greatest that was tried."""
    names = ["all classes"] if targets.exclusive else [f"label '{name}'" for name in targets.names]
    sentences = []
    for name, strength in zip(names, c, strict=False):
        if strength in (STRENGTHS[0], STRENGTHS[-1]):
            lesson = (
                "no fit to the vectors did better than the prevalence, so that they may say nothing of it"
                if strength == STRENGTHS[0]
                else "a still weaker regularisation may do better"
            )
            sentences.append(
                f"The C of {name} is {strength:g}, at the edge of those that were tried: {lesson}."
            )
    return sentences


def _report(out_of_fold: OutOfFold, c: Floats, warnings: Sequence[str], seed: int) -> ProbeReport:
    entries = []
    for column, name in enumerate(out_of_fold.labels):
        known = ~np.isnan(out_of_fold.truth[:, column])
        truth, groups = out_of_fold.truth[known, column], out_of_fold.groups[known]
        estimates = estimate_scores(truth, out_of_fold.scores[known, column], groups, seed=seed)
        decided = estimate_threshold(truth, out_of_fold.probability[known, column], groups)
        auroc = estimates.auroc
        entry = LabelReport(
            label=name,
            n=auroc.n,
            positive=auroc.positive,
            auroc=auroc.value,
            auroc_ci=auroc.interval,
            auprc=estimates.auprc.value,
            auprc_ci=estimates.auprc.interval,
            sensitivity=decided.sensitivity,
            sensitivity_ci=decided.sensitivity_interval,
            specificity=decided.specificity,
            specificity_ci=decided.specificity_interval,
            c=float(c[column]),
            caution=estimates.caution,
        )
        entries.append(entry)
    average = macro([entry.auroc for entry in entries])
    count, folds = len(np.unique(out_of_fold.groups)), int(out_of_fold.fold.max()) + 1
    return ProbeReport(count, folds, tuple(entries), average, tuple(warnings))
