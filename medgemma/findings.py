"""Findings of studies with scores from prompt sets and probes, the only scores that a draft has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medsiglip.errors import ModelError
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import CaseTable, Level, ProbeRecord
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.records import Finding
from medsiglip.prompt_set import PromptSet, list_prompt_sets, load_prompt_set
from medsiglip.zeroshot import Scores, ZeroShotClassifier

MakeClassifier = Callable[[PromptSet], ZeroShotClassifier]
_PHANTOMS = "phantoms"
# Studies whose vectors are in memory at a time.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class UncertainBand:
    """Probabilities from `low` up to, but not including, `high` mean neither present nor absent.

    Softmax over two texts is over-confident: on phantoms the demonstration model is wrong in one of 24
    statements when it must decide at 0.5, and in one of 37 outside 0.2 to 0.8. Raises DraftError
    `bad-band`.
    """

    low: float = 0.2
    high: float = 0.8

    def __post_init__(self) -> None:
        if not 0.0 <= self.low <= self.high <= 1.0:
            raise DraftError(
                "bad-band",
                f"The uncertain band {self.low} to {self.high} must lie within 0 and 1, low first.",
            )

    def decide(self, probability: float) -> bool | None:
        """True for present, False for absent, None in the band."""
        if self.low <= probability < self.high:
            return None
        return probability >= self.high


@dataclass(frozen=True, slots=True)
class StudyFindings:
    """The findings of a study, and the sources that were left out: probes trained on its patient."""

    findings: tuple[Finding, ...]
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class FindingScores:
    """Scores studies of an index. `make_classifier` gives the classifier of a prompt set, and is called only
    for a set that fits one of the studies: it may load the model.
    """

    index: CaseIndex
    make_classifier: MakeClassifier
    band: UncertainBand = field(default_factory=UncertainBand)
    _classifiers: dict[str, ZeroShotClassifier] = field(default_factory=dict, init=False, repr=False)

    def sources(self) -> tuple[str, ...]:
        """The sources of scores in this index, the most trusted last: prompt sets of findings, then probes.

        The prompts of the phantoms are for the demonstration model alone, and the others not for it.
        """
        space = self.index.space
        is_demonstration = space is not None and space.model == "tiny"
        sets = [name for name in list_prompt_sets() if (name == _PHANTOMS) == is_demonstration]
        sets = [name for name in sets if load_prompt_set(name).kind == "findings"]
        probes = [probe.name for probe in self.index.probes.listed() if space and probe.space == space.name]
        return (*(f"prompts:{name}" for name in sets), *(f"probe:{name}" for name in probes))

    def of_study(self, study_instance_uid: str, sources: Sequence[str] = ()) -> StudyFindings:
        """The findings of one study, the most probable first; each label once, by the last of the sources
        (all, if none is named) that fits the study and was not trained on it.
        """
        asked = tuple(sources or self.sources())
        left_out = self.trained_on([study_instance_uid], asked).get(study_instance_uid, ())
        found: dict[str, Finding] = {}
        for source in asked:
            if source not in left_out:
                for finding in self.of_studies(source, [study_instance_uid])[study_instance_uid]:
                    found[finding.label] = finding
        findings = sorted(found.values(), key=lambda one: (-one.probability, one.label))
        return StudyFindings(tuple(findings), left_out)

    def trained_on(
        self, study_instance_uids: Sequence[str], sources: Sequence[str]
    ) -> dict[str, tuple[str, ...]]:
        """Those of the sources that are probes which were trained on a study's patient, or on pictures that
        are identical to one of the patient's, by UID of the study; they have learned the answers. Studies
        without such a source are left out.
        """
        asked = set(sources)
        named = [one for one in self.index.probes.listed() if f"probe:{one.name}" in asked]
        if not named:
            return {}
        patients = self.index.patients_of(study_instance_uids)
        seen = self.index.instances.seen_patients(set(patients.values()), named)
        found = {
            uid: tuple(f"probe:{name}" for name, theirs in seen.items() if patient in theirs)
            for uid, patient in patients.items()
        }
        return {uid: theirs for uid, theirs in found.items() if theirs}

    def of_studies(self, source: str, study_instance_uids: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
        """The findings of each study by one source, by UID; none of a study that it does not fit.

        `source` is `prompts:NAME` or `probe:NAME`. Raises DraftError `unknown-source`.
        """
        kind, _, name = source.partition(":")
        found: dict[str, list[Finding]] = {uid: [] for uid in study_instance_uids}
        if kind == "prompts":
            scored = self._by_prompts(name, source, study_instance_uids)
        elif kind == "probe":
            scored = self._by_probe(name, source, study_instance_uids)
        else:
            raise _unknown_source(source)
        for uid, finding in scored:
            found[uid].append(finding)
        return {uid: tuple(findings) for uid, findings in found.items()}

    def _by_prompts(self, name: str, source: str, uids: Sequence[str]) -> Iterable[tuple[str, Finding]]:
        prompt_set = prompt_set_named(name)
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for column, prompts in enumerate(prompt_set.prompts.values()):
            groups[prompts.where].append(column)
        for where, columns in groups.items():
            for table in self._tables("image", where, uids):
                classifier = self._classifier(prompt_set)
                scores = classifier.scores(table.vectors)
                for uid, rows in _by_study(table).items():
                    chosen = Scores(scores.labels, scores.probability[rows], scores.cosine[rows])
                    pooled = classifier.pool(chosen)
                    for column in columns:
                        image_id = int(table.image_ids[rows[int(pooled.driving[column])]])
                        probability = float(pooled.probability[column])
                        cosine = float(pooled.cosine[column])
                        yield uid, self._finding(pooled.labels[column], probability, source, image_id, cosine)

    def _by_probe(self, name: str, source: str, uids: Sequence[str]) -> Iterable[tuple[str, Finding]]:
        from medsiglip.probes.probe import Probe

        record = _probe_named(self.index, name)
        probe = Probe.load(self.index.home / record.file)
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for column, label in enumerate(probe.labels):
            groups[_probe_filters(record, label)].append(column)
        for where, columns in groups.items():
            for table in self._tables(record.summary["level"], where, uids):
                probability = probe.predict_probability(table.vectors)
                for uid, rows in _by_study(table).items():
                    for column in columns:
                        best = rows[int(probability[rows, column].argmax())]
                        image_id, value = int(table.image_ids[best]), float(probability[best, column])
                        yield uid, self._finding(probe.labels[column], value, source, image_id, None)

    def _finding(
        self, label: str, probability: float, source: str, image_id: int, cosine: float | None
    ) -> Finding:
        return Finding(label, probability, self.band.decide(probability), source, image_id, cosine)

    def _tables(self, level: Level, where: Sequence[str], uids: Sequence[str]) -> Iterable[CaseTable]:
        for start in range(0, len(uids), _CHUNK):
            table = self.index.table(level, where, among=uids[start : start + _CHUNK])
            if table.ids:
                yield table

    def _classifier(self, prompt_set: PromptSet) -> ZeroShotClassifier:
        if prompt_set.name not in self._classifiers:
            self._classifiers[prompt_set.name] = self.make_classifier(prompt_set)
        return self._classifiers[prompt_set.name]


def prompt_set_named(name: str) -> PromptSet:
    """A bundled prompt set by name, not a path: rules come over HTTP. Raises DraftError `unknown-source`."""
    if name not in list_prompt_sets():
        raise DraftError(
            "unknown-source",
            f"There is no prompt set {name!r}; choose one of {', '.join(list_prompt_sets())}.",
        )
    try:
        return load_prompt_set(name)
    except ModelError as error:
        raise DraftError("unknown-source", str(error)) from error


def _probe_named(index: CaseIndex, name: str) -> ProbeRecord:
    known = index.probes.listed()
    for record in known:
        if record.name == name:
            if index.space is None or record.space != index.space.name:
                raise CatalogError(
                    "space-mismatch", f"The probe {name} was trained in another space; train it again here."
                )
            return record
    names = ", ".join(record.name for record in known) or "none"
    raise DraftError("unknown-source", f"There is no probe {name!r} in this home; the probes are {names}.")


def _probe_filters(record: ProbeRecord, label: str) -> tuple[str, ...]:
    """The images that a probe was trained on: its own filters, and the modalities that had the label."""
    where = list(record.summary.get("where", ()))
    modalities: Mapping[str, Sequence[str]] = record.summary.get("modalities", {})
    if modalities.get(label):
        where.append(f"modality={'|'.join(modalities[label])}")
    return tuple(where)


def _by_study(table: CaseTable) -> dict[str, NDArray[np.intp]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, uid in enumerate(table.study_instance_uids):
        rows[uid].append(row)
    return {uid: np.array(theirs, np.intp) for uid, theirs in rows.items()}


def _unknown_source(source: str) -> DraftError:
    return DraftError(
        "unknown-source", f"{source!r} scores nothing; write prompts:NAME of a prompt set or probe:NAME."
    )
