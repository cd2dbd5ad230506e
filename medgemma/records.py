"""The values of a draft report: its evidence, its text, and the result of the check of each sentence.

Findings and scores come from the encoder and from probes, never from a generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Status = Literal["draft", "accepted", "edited", "rejected"]
Verdict = Literal["agree", "contradict", "doubtful", "unsupported", "not-checkable"]
Choice = Literal["keep", "edit", "cut"]
Flag = Literal[
    "temporal-without-prior",
    "other-modality",
    "flipped-by-context",
    "copied-from-similar-case",
    "quoted",
    "other-language",
    "other-patient",
    "wrong-side",
    "wrong-size",
    "wrong-number",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One label of a study, pooled over its images by the maximum.

    `present` is None in the band where the score itself is uncertain, and where a calibration leaves both
    answers possible at its error bound. `source` names what gave the score,
    `prompts:chest-xray` or `probe:nodules`; `image_id` is the image that drove it. `calibrated` is whether
    the probability was fitted to known cases.
    """

    label: str
    probability: float
    present: bool | None
    source: str
    image_id: int
    cosine: float | None = None
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class EvidenceImage:
    """An image of the evidence, with the labels that it drove.

    `slice_number` is its place among the `slice_count` slices of its series, from 1; None outside a volume.
    """

    image_id: int
    sop_instance_uid: str
    series_instance_uid: str
    frame: int
    modality: str | None = None
    labels: tuple[str, ...] = ()
    slice_number: int | None = None
    slice_count: int | None = None


@dataclass(frozen=True, slots=True)
class EvidenceSeries:
    """A series of the study. `images` is the number of its pictures that are scored, `instances` that of its
    DICOM instances; the other fields are those of its header, None where it has none.
    """

    series_instance_uid: str
    images: int
    instances: int
    modality: str | None = None
    view_position: str | None = None
    laterality: str | None = None
    orientation: str | None = None


@dataclass(frozen=True, slots=True)
class SimilarCase:
    """A study of another patient; `score` is the cosine of the two, `text` its report if it has one,
    `image_id` its image that is most like the study, None in drafts of earlier versions.
    """

    study_instance_uid: str
    score: float
    text: str | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    image_id: int | None = None


@dataclass(frozen=True, slots=True)
class PriorStudy:
    """The patient's last study before this one of the same modality and region; dates are ISO 8601."""

    study_instance_uid: str
    study_date: str | None = None
    text: str | None = None
    images: tuple[EvidenceImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of a draft. `space` names the embedding space of the scores, `model` the model that made
    it ("" if that is not known); `template` the prompt template that fits, such as `chest-xray` or
    `ct-volume`. `left_out` are sources of scores, probes, that were trained on the patient.

    `region` is the part of the body that header, descriptions and pictures agree on, None if it is not known;
    `region_conflict` is a sentence for a person where they disagree, and then nothing is scored. `not_scored`
    has a sentence for each source of scores that does not fit the study, with the reason.
    """

    study_instance_uid: str
    space: str
    modality: str | None
    body_part_examined: str | None
    template: str
    findings: tuple[Finding, ...] = ()
    images: tuple[EvidenceImage, ...] = ()
    similar: tuple[SimilarCase, ...] = ()
    prior: PriorStudy | None = None
    indication: str | None = None
    study_date: str | None = None
    patient_age: float | None = None
    patient_sex: str | None = None
    left_out: tuple[str, ...] = ()
    region: str | None = None
    region_conflict: str | None = None
    not_scored: tuple[str, ...] = ()
    series: tuple[EvidenceSeries, ...] = ()
    model: str = ""


@dataclass(frozen=True, slots=True)
class Attribute:
    """The side, size or number that a sentence gives, at its character offsets in the draft's text.

    `known` is what it was compared with, None where nothing is known and it is `not-checkable`.
    """

    kind: Literal["side", "size", "number"]
    text: str
    start: int
    end: int
    verdict: Literal["agree", "contradict", "not-checkable"]
    known: str | None = None


@dataclass(frozen=True, slots=True)
class Omission:
    """A finding that the text does not mention: one with a high score, or one of the prior report.

    `source` is the source of the score or the Study Instance UID of the prior; `probability` is None for
    the latter.
    """

    finding: str
    reason: Literal["high-score", "prior"]
    source: str
    probability: float | None = None
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one sentence. `start` and `end` are its character offsets in the draft's text; `finding`
    is the label that it names, `polarity` whether it states it as present (None: neither), `hedged` whether
    it does so with a strong hedge ("suspicious for"), `probability` the score that it was compared with,
    `sources` the studies or scores of a sentence of `evidence-only`.
    """

    sentence: str
    start: int
    end: int
    finding: str | None
    verdict: Verdict
    polarity: bool | None = None
    probability: float | None = None
    flags: tuple[Flag, ...] = ()
    sources: tuple[str, ...] = ()
    hedged: bool = False
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class Concern:
    """What a person must acknowledge, or edit away, before a draft is accepted. `id` stays the same as long
    as the text does; `sentence` says it in words, `quote` is the sentence of the text, None for an omission.
    """

    id: str
    kind: str
    sentence: str
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class SentenceDecision:
    """What a person decided about the sentence of this number, from 0; `text` has the words of an edited one,
    `quote` those that it had.
    """

    sentence: int
    choice: Choice
    text: str | None = None
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of the workflow: who did what, when (ISO 8601, UTC); `difference` is a unified diff.
    `acknowledged` are the concerns with which the draft was accepted, `decisions` what was decided then about
    single sentences.
    """

    status: Status
    by: str
    at: str
    text: str | None = None
    difference: str | None = None
    reason: str | None = None
    acknowledged: tuple[Concern, ...] = ()
    decisions: tuple[SentenceDecision, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A generated report that nobody has accepted yet, or what a person made of it.

    `text` is the generator's own, `thinking` what it wrote before the text; `text_without_context` is the
    second reply, drafted without the texts of similar cases, and `flips` are the labels whose polarity
    differs between the two. Where the first reply repeated those texts, `text` is the second, and `details`
    has `context_withheld`. `checks` has one entry or more for every sentence of `text`.

    `omissions` are findings that the text does not mention. `incomplete` says why the text is cut off, such
    as `length`; it is None once a person has completed it, and until then the draft cannot be accepted.

    An accepted draft of a study that had an accepted one is an addendum: `supersedes` is the id of the
    former, and `superseded_by` of the former is its own.
    """

    id: str
    study_instance_uid: str
    route: str | None
    generator: str
    status: Status
    text: str
    evidence: Evidence
    checks: tuple[Check, ...] = ()
    text_without_context: str | None = None
    flips: tuple[str, ...] = ()
    thinking: str | None = None
    created_at: str = ""
    history: tuple[Revision, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    omissions: tuple[Omission, ...] = ()
    incomplete: str | None = None
    supersedes: str | None = None
    superseded_by: str | None = None


class ImageSource(Protocol):
    """Where pictures for a generator come from; the program that makes drafts provides it."""

    def pictures(self, image_ids: Sequence[int]) -> Sequence[NDArray[np.uint8]]:
        """Display values of stored images, each uint8 [height, width, 3], in the order of the ids."""
        ...
