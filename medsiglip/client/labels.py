"""The part of `Client` that is about labels: given, undone, compared, and what to label next."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from medsiglip.answers.cases import ImportedLabels, Label, LabelList
from medsiglip.answers.labelling import LabelAgreement, LabelHistory, LabelQueue, LearningCurve, UndoneLabels
from medsiglip.arguments import several
from medsiglip.client.connection import AnyPath, ApiError, Connection, read
from medsiglip.client.paths import checked, path_of
from medsiglip.names import LONGEST_LABEL


class LabelMethods:
    """Methods of `Client`."""

    _service: Connection

    def import_labels(self, csv: AnyPath) -> ImportedLabels:
        """Store the labels of a CSV."""
        return read(ImportedLabels, self._service.send_files("/v1/labels", [csv], {}))

    def label(self, study: str, label: str, value: float | None) -> ImportedLabels:
        """Give a study a label of 1 or 0; None takes back what this key gave before."""
        uid = checked("study", "uid", study)
        row = {"study_instance_uid": uid, "label": label, "value": value}
        return read(ImportedLabels, self._service.post("/v1/labels", {"rows": [row]}))

    def label_all(self, where: Sequence[str], label: str, value: float | None) -> ImportedLabels:
        """Give a label to every study that fits all expressions; [] is every study of the archive."""
        body = {"where": several("where", where), "label": label, "value": value}
        return read(ImportedLabels, self._service.post("/v1/labels", body))

    def undo_labels(self) -> UndoneLabels:
        """Take back what this key last gave or took back at once; repeated, what was before it."""
        return read(UndoneLabels, self._service.post("/v1/labels/undo", {}))

    def labels(self) -> list[Label]:
        """The stored labels with their counts."""
        return list(read(LabelList, self._service.get("/v1/labels")).labels)

    def study_labels(self, uid: str) -> LabelHistory:
        """What each reader said of a study and what it holds, the earliest first."""
        return read(LabelHistory, self._service.get(path_of("studies", ("uid", "uid", uid), "labels")))

    def label_queue(
        self,
        label: str,
        *,
        order: str = "uncertainty",
        seed: int = 0,
        limit: int = 20,
        where: Sequence[str] = (),
    ) -> LabelQueue:
        """The cases to label next, of those that this key has not labelled: by `uncertainty`, `diversity`,
        `random`, or `disagreement` of readers.
        """
        query = {"label": label, "order": order, "seed": seed, "limit": limit}
        return read(LabelQueue, self._service.get("/v1/label-queue", **query, where=several("where", where)))

    def label_agreement(self, label: str) -> LabelAgreement:
        """How readers agree on a label, and the studies that they disagree about."""
        return read(LabelAgreement, self._service.get(_label(label, "agreement")))

    def learning_curve(self, label: str) -> LearningCurve:
        """How well a label can be learned from the first of its labels, and from more."""
        return read(LearningCurve, self._service.get(_label(label, "learning-curve")))


def _label(name: str, further: str) -> str:
    """The path of a label. A label of dots would lead to another (RFC 3986, section 5.2.4)."""
    if not isinstance(name, str):
        raise TypeError(f"label takes a string, not {type(name).__name__}")
    steps = name.replace("\\", "/").split("/")
    if not 0 < len(name) <= LONGEST_LABEL or not name.isprintable() or {".", ".."}.intersection(steps):
        raise ApiError("bad-request", f"The argument label cannot be {name[:80]!r} in an address.")
    return f"/v1/labels/{quote(name, safe='')}/{further}"
