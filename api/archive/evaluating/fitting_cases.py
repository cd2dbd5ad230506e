"""The labelled cases that labels of a prompt set fit, and their zero-shot scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import PatientGroups
    from medsiglip.index.records import CaseTable, Level
    from medsiglip.medgemma.fitting import Fits
    from medsiglip.zero_shot.classifier import ZeroShotClassifier
    from medsiglip.zero_shot.prompt_set import LabelPrompts


def fits_of(prompts: LabelPrompts) -> Fits:
    """What images the prompts of a label are for."""
    from medsiglip.medgemma.fitting import Fits

    return Fits(prompts.where, prompts.regions, prompts.population)


class FittingCases:
    """Labels and zero-shot scores of the cases that labels of a prompt set fit, looked up once for each kind
    of fit.
    """

    def __init__(self, archive: OpenedArchive, level: Level, where: Sequence[str]) -> None:
        from medsiglip.api.archive.scores.classifiers import prompt_classifier
        from medsiglip.medgemma.study_regions import StudyRegions

        self._archive = archive
        self._level = level
        self._where = tuple(where)
        self._regions = StudyRegions(archive.index, partial(prompt_classifier, archive))
        self._tables: dict[Fits, CaseTable] = {}
        self._scores: dict[Fits, Floats] = {}
        self._margins: dict[Fits, Floats] = {}
        self._groups: dict[Fits, PatientGroups] = {}

    def fitting(self, fits: Fits) -> CaseTable:
        """The labelled rows that fit and pass the filters of the whole evaluation."""
        if fits not in self._tables:
            self._tables[fits] = self._fitting(self._level, fits)
        return self._tables[fits]

    def _fitting(self, level: Level, fits: Fits) -> CaseTable:
        """At study level those of which an image fits."""
        from medsiglip.medgemma.fitting import fitting_rows

        table = self._archive.index.table(level, (*self._where, *fits.where))
        if level == "image":
            return table.rows(fitting_rows(fits, table, self._regions))
        held = set(self._fitting("image", fits).study_instance_uids)
        return table.rows(np.array([row for row, uid in enumerate(table.ids) if uid in held], np.intp))

    def groups(self, fits: Fits) -> PatientGroups:
        """The groups of patients of `fitting(fits)`."""
        if fits not in self._groups:
            self._groups[fits] = self._archive.index.instances.patient_groups(self.fitting(fits))
        return self._groups[fits]

    def scores(self, fits: Fits, classifier: ZeroShotClassifier) -> Floats:
        """Probability [n, L] of each label for each row of `fitting(fits)`."""
        if fits not in self._scores:
            self._scores[fits] = self._score(fits, classifier)
        return self._scores[fits]

    def _score(self, fits: Fits, classifier: ZeroShotClassifier) -> Floats:
        table = self.fitting(fits)
        images = table if self._level == "image" else self.images(fits)
        return case_scores(classifier, table, images, images.vectors)

    def margins(self, fits: Fits, classifier: ZeroShotClassifier) -> Floats:
        """Margin [n, L] of each label for each row of `fitting(fits)`."""
        if fits not in self._margins:
            table = self.fitting(fits)
            images = table if self._level == "image" else self.images(fits)
            self._margins[fits] = case_margins(classifier, table, images)
        return self._margins[fits]

    def images(self, fits: Fits) -> CaseTable:
        """The images that fit and pass the filters of the whole evaluation."""
        return self._fitting("image", fits)


def case_margins(classifier: ZeroShotClassifier, table: CaseTable, images: CaseTable) -> Floats:
    """The margin [n, L] of each label for each row of a table of images or studies, whose images are those of
    another.
    """
    by_image = classifier.scores(images.vectors)
    if table.level == "image":
        return by_image.margin
    pooled = [classifier.pool(by_image.rows(rows)).margin for rows in members(table, images)]
    return np.stack(pooled) if pooled else np.empty((0, len(by_image.labels)))


def members(table: CaseTable, parts: CaseTable) -> Iterator[NDArray[np.intp]]:
    """For each study of a table the rows of its parts in another."""
    row = {uid: place for place, uid in enumerate(table.study_instance_uids)}
    found: list[list[int]] = [[] for _ in row]
    for place, uid in enumerate(parts.study_instance_uids):
        if uid in row:
            found[row[uid]].append(place)
    return (np.array(rows, np.intp) for rows in found)


def case_scores(
    classifier: ZeroShotClassifier, table: CaseTable, images: CaseTable, vectors: NDArray[np.float32]
) -> Floats:
    """Probability [n, L] of each label for each row of a table of images or studies, of which each has at
    least one of the images, whose vectors are [m, d].
    """
    by_image = classifier.scores(vectors)
    if table.level == "image":
        return by_image.probability
    row = {uid: i for i, uid in enumerate(table.ids)}
    members: list[list[int]] = [[] for _ in table.ids]
    for i, uid in enumerate(images.study_instance_uids):
        members[row[uid]].append(i)
    pooled = [classifier.pool(by_image.rows(np.array(rows, np.intp))).probability for rows in members]
    return np.stack(pooled) if pooled else np.empty((0, len(by_image.labels)))
