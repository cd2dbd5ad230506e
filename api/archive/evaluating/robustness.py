"""What changes of the pictures, as scanners, screens and exports make them, do to scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.comparisons import FigureDifference, RobustnessReport, ShiftFigures
from medsiglip.api.archive.evaluating.altered_cases import AlteredCases, altered_cases
from medsiglip.api.archive.evaluating.label_figures import figure_difference
from medsiglip.api.archive.evaluating.scored_labels import LabelScorer, probe_labels, prompt_labels
from medsiglip.api.archive.opened import OnProgress, in_one_space, silent
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.shifts.alterations import Alteration

MOST_CASES = 5000


@in_one_space
def evaluate_robustness(
    archive: OpenedArchive,
    *,
    prompts: str | None = None,
    probe: str | None = None,
    labels: Sequence[str] = (),
    level: str | None = None,
    where: Sequence[str] = (),
    cases: int = 200,
    on_progress: OnProgress = silent,
) -> RobustnessReport:
    """Read the pictures of at most so many labelled cases again from their files, change them, and say how
    far their vectors move and what AUROC against the stored labels is lost.

    Pictures are changed one way at a time, and in a chain of acquisition, reconstruction, display and
    delivery. Of a case with many images at most 16 are looked at, evenly spread. `level` (of prompts: study,
    unless it is image) is that of the probe for a probe. Raises ServiceError `one-of`, `bad-cases`,
    `bad-level`, `no-labels`, `no-pictures`, and those of probes and prompt sets.
    """
    from medsiglip.shifts.alterations import ALTERATIONS
    from medsiglip.shifts.chain import CHAIN

    if (prompts is None) == (probe is None):
        raise ServiceError("one-of", "evaluate the robustness of either a prompt set or a probe.")
    if not 10 <= cases <= MOST_CASES:
        raise ServiceError("bad-cases", f"look at 10 to {MOST_CASES} cases, not {cases}.")
    if prompts is not None:
        scored = prompt_labels(archive, prompts, labels, level or "study", where)
    else:
        scored = probe_labels(archive, str(probe), labels, level, where)
    altered = altered_cases(archive, scored.rows(cases), (*ALTERATIONS, *CHAIN), on_progress)
    figures = _Figures(scored, altered)
    shifts, chain = (tuple(figures.of(one) for one in alterations) for alterations in (ALTERATIONS, CHAIN))
    return RobustnessReport(
        level=scored.table.level,
        space=archive.space.name,
        prompts=prompts,
        probe=probe,
        cases=len(altered.rows),
        patients=len(set(figures.patients)),
        images=len(altered.images),
        missing=altered.missing,
        left_out=altered.left_out,
        trained_on=scored.trained_on(altered.rows),
        shifts=shifts,
        chain=chain,
        warnings=(*scored.warnings, *altered.warnings),
    )


@dataclass(slots=True)
class _Figures:
    """The figures of one change after the other, against the pictures as they are."""

    scored: LabelScorer
    altered: AlteredCases

    @property
    def patients(self) -> list[str]:
        """The group of each row."""
        return [self.scored.groups[row] for row in self.altered.rows]

    def of(self, alteration: Alteration) -> ShiftFigures:
        from medsiglip.figures.median import median_interval

        vectors = self.altered.vectors[alteration.name].astype(np.float64)
        cosines = (vectors * self.altered.vectors[""]).sum(axis=1)
        numbers = {name: number for number, name in enumerate(dict.fromkeys(self.patients))}
        codes = np.array([numbers[self.patients[row]] for row in self.altered.row_of.tolist()], np.intp)
        means = np.bincount(codes, weights=cosines) / np.bincount(codes)
        median, interval = median_interval(means)
        return ShiftFigures(
            name=alteration.name,
            description=alteration.description,
            cosine=median,
            cosine_ci=interval,
            cosine_low=float(np.quantile(cosines, 0.1)),
            labels=tuple(self._label(label, alteration.name) for label in self.scored.labels),
        )

    def _label(self, label: str, name: str) -> FigureDifference:
        from medsiglip.figures.paired import auroc_difference

        before, after = (
            self.scored.scores(label, self.altered, self.altered.vectors[one]) for one in ("", name)
        )
        truth: NDArray[np.float64] = self.scored.targets[label][self.altered.rows]
        # A row of which no fitting image is left has no score.
        truth = np.where(np.isnan(before), np.nan, truth)
        found = auroc_difference(truth, np.nan_to_num(before), np.nan_to_num(after), self.patients)
        return figure_difference("auroc", label, found)
