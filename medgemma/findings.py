"""Findings of studies with scores from prompt sets and probes, the only scores that a draft has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from medsiglip.calibration.applied import Calibrated
from medsiglip.errors import ModelError
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import CaseTable, Level, ProbeRecord
from medsiglip.medgemma.calibrations import calibrations_of_probe, calibrations_of_prompts
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.fitting import Fits, fits_of_probe, source_reason
from medsiglip.medgemma.records import Finding
from medsiglip.medgemma.study_regions import MakeClassifier, ShownStudy, StudyRegions
from medsiglip.regions.vocabulary import named
from medsiglip.zero_shot.classifier import ZeroShotClassifier
from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set
from medsiglip.zero_shot.prompt_set import PromptSet

_PHANTOMS = "phantoms"
# Studies whose vectors are in memory at a time.
_CHUNK = 500
_PRESENT: dict[str, bool | None] = {"present": True, "absent": False, "undecided": None}


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
    """The findings of a study, and the sources that were left out: probes trained on its patient.

    `region` is the part of the body that it shows, `region_conflict` says why it is not known, `not_scored`
    has a sentence for each source that does not fit.
    """

    findings: tuple[Finding, ...]
    left_out: tuple[str, ...] = ()
    region: str | None = None
    region_conflict: str | None = None
    not_scored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceFindings:
    """The findings of a study by one source, and why its other labels are not scored, by label."""

    findings: tuple[Finding, ...]
    reasons: Mapping[str, str]


@dataclass(slots=True)
class FindingScores:
    """Scores studies of an index. `make_classifier` gives the classifier of a prompt set: for one that fits
    one of the studies, and for the encoder's look at their pictures; it may load the model.
    """

    index: CaseIndex
    make_classifier: MakeClassifier
    band: UncertainBand = field(default_factory=UncertainBand)
    _classifiers: dict[str, ZeroShotClassifier] = field(default_factory=dict, init=False, repr=False)
    _regions: StudyRegions = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._regions = StudyRegions(self.index, self.make_classifier)

    def shown(self, study_instance_uids: Sequence[str]) -> dict[str, ShownStudy]:
        """What each of these studies shows, by headers and by the encoder's own look, by UID."""
        return self._regions.of(study_instance_uids)

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
        not_scored = []
        for source in asked:
            if source not in left_out:
                scored = self.scored(source, [study_instance_uid])[study_instance_uid]
                found |= {finding.label: finding for finding in scored.findings}
                if not scored.findings and scored.reasons:
                    not_scored.append(source_reason(source, tuple(scored.reasons.values())))
        findings = sorted(found.values(), key=lambda one: (-one.probability, one.label))
        shown = self._regions.of([study_instance_uid]).get(study_instance_uid)
        return StudyFindings(
            tuple(findings),
            left_out,
            None if shown is None else named(shown.region.regions),
            None if shown is None else shown.region.conflict,
            tuple(not_scored),
        )

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
        return {uid: one.findings for uid, one in self.scored(source, study_instance_uids).items()}

    def scored(self, source: str, study_instance_uids: Sequence[str]) -> dict[str, SourceFindings]:
        """As `of_studies`, with the reason for each label of the source that is not scored: the study shows
        another part of the body or its part is not known, its patient or its images are of other kinds.
        """
        kind, _, name = source.partition(":")
        if kind == "prompts":
            score = self._by_prompts(name)
        elif kind == "probe":
            score = self._by_probe(name)
        else:
            raise _unknown_source(source)
        found: dict[str, list[Finding]] = {uid: [] for uid in study_instance_uids}
        reasons: dict[str, dict[str, str]] = {uid: {} for uid in study_instance_uids}
        for fits, columns in score.columns.items():
            labels = [score.labels[column] for column in columns]
            for start in range(0, len(study_instance_uids), _CHUNK):
                uids = study_instance_uids[start : start + _CHUNK]
                table = self.index.table(score.level, fits.where, among=uids)
                rows, shown = _by_study(table), self._regions.of(uids)
                for uid in uids:
                    fitting, reason = fits.rows(table, rows.get(uid), shown.get(uid))
                    if reason is not None:
                        reasons[uid] |= dict.fromkeys(labels, reason)
                    elif len(fitting):
                        found[uid] += score.findings(table, fitting, columns, source)
        return {uid: SourceFindings(tuple(found[uid]), reasons[uid]) for uid in study_instance_uids}

    def _by_prompts(self, name: str) -> _Scoring:
        prompt_set = prompt_set_named(name)
        calibrations = calibrations_of_prompts(self.index, prompt_set)
        groups: dict[Fits, list[int]] = defaultdict(list)
        for column, prompts in enumerate(prompt_set.prompts.values()):
            groups[Fits(prompts.where, prompts.regions, prompts.population)].append(column)

        def findings(
            table: CaseTable, rows: NDArray[np.intp], columns: Sequence[int], source: str
        ) -> Iterator[Finding]:
            classifier = self._classifier(prompt_set)
            pooled = classifier.pool(classifier.scores(table.vectors[rows]))
            found = calibrations.judge(pooled.margin)
            for column in columns:
                image_id = int(table.image_ids[rows[int(pooled.driving[column])]])
                probability, cosine = float(pooled.probability[column]), float(pooled.cosine[column])
                finding = self._finding(pooled.labels[column], probability, source, image_id, cosine)
                yield self._calibrated(finding, found)

        return _Scoring("image", prompt_set.labels, groups, findings)

    def _by_probe(self, name: str) -> _Scoring:
        from medsiglip.probes.probe import Probe

        record = _probe_named(self.index, name)
        probe = Probe.load(self.index.home / record.file)
        calibrations = calibrations_of_probe(self.index, record, probe)
        groups: dict[Fits, list[int]] = defaultdict(list)
        for column, label in enumerate(probe.labels):
            groups[fits_of_probe(record, label)].append(column)

        def findings(
            table: CaseTable, rows: NDArray[np.intp], columns: Sequence[int], source: str
        ) -> Iterator[Finding]:
            logits = probe.predict_logits(table.vectors[rows])
            probability = probe.probability(logits)
            each = probability.mean(axis=0) if probe.exclusive else probability.max(axis=0)
            found = calibrations.judge(logits.mean(axis=0) if probe.exclusive else logits.max(axis=0))
            for column in columns:
                image_id = int(table.image_ids[rows[int(probability[:, column].argmax())]])
                finding = self._finding(probe.labels[column], float(each[column]), source, image_id, None)
                yield self._calibrated(finding, found)

        # The greatest score of a series' or a study's pictures is that of the pictures themselves.
        level: Level = "image" if probe.pooling == "max" else record.summary["level"]
        return _Scoring(level, probe.labels, groups, findings)

    def _finding(
        self, label: str, probability: float, source: str, image_id: int, cosine: float | None
    ) -> Finding:
        return Finding(label, probability, self.band.decide(probability), source, image_id, cosine)

    def _calibrated(self, finding: Finding, found: Calibrated) -> Finding:
        """The finding with its calibrated probability and verdict, where there are any."""
        if finding.label not in found.probability:
            return finding
        probability = found.probability[finding.label]
        present = self.band.decide(probability)
        if finding.label in found.verdict:
            present = _PRESENT[found.verdict[finding.label]]
        return replace(finding, probability=probability, present=present, calibrated=True)

    def _classifier(self, prompt_set: PromptSet) -> ZeroShotClassifier:
        if prompt_set.name not in self._classifiers:
            self._classifiers[prompt_set.name] = self.make_classifier(prompt_set)
        return self._classifiers[prompt_set.name]


@dataclass(frozen=True, slots=True)
class _Scoring:
    """How one source scores: the level of what it scores, its labels, and those of their columns that fit the
    same studies; `findings` scores some rows of a table.
    """

    level: Level
    labels: Sequence[str]
    columns: Mapping[Fits, Sequence[int]]
    findings: Callable[[CaseTable, NDArray[np.intp], Sequence[int], str], Iterable[Finding]]


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


def _by_study(table: CaseTable) -> dict[str, NDArray[np.intp]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, uid in enumerate(table.study_instance_uids):
        rows[uid].append(row)
    return {uid: np.array(theirs, np.intp) for uid, theirs in rows.items()}


def _unknown_source(source: str) -> DraftError:
    return DraftError(
        "unknown-source", f"{source!r} scores nothing; write prompts:NAME of a prompt set or probe:NAME."
    )
