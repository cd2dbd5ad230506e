"""Makes drafts: evidence, a generator's text with and without retrieved reports, and the checks on it.

The generator's text is kept unchanged, unless it repeats reports of other patients: then the text that it
wrote without seeing them is kept. Findings and scores come from the evidence alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medsiglip.index.case_index import CaseIndex
from medsiglip.medgemma.background import background_of
from medsiglip.medgemma.checks.copied import NAMES_A_PATIENT, WITHHELD, copied_by_generator
from medsiglip.medgemma.checks.review import Review, is_in_another_language, review
from medsiglip.medgemma.checks.verify import flips
from medsiglip.medgemma.draft_record import draft_of, payload_of
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.evidence import EvidenceOptions, gather
from medsiglip.medgemma.findings import FindingScores
from medsiglip.medgemma.generators import evidence_only
from medsiglip.medgemma.generators.generators import (
    Cancelled,
    Generator,
    Readiness,
    cancellation,
    never,
)
from medsiglip.medgemma.generators.replies import Reply
from medsiglip.medgemma.pictures_of_study import SliceNumbers, pictures_to_show
from medsiglip.medgemma.prompting.prompts import Prompt, build_prompt
from medsiglip.medgemma.records import Check, Draft, Evidence, EvidenceImage, ImageSource, Omission
from medsiglip.medgemma.routing.rules import DraftOptions

OnStage = Callable[[str, int, int | None], None]
_STAGES = 4


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """What to draft. A second request with the same `draft_id` makes no second draft; `by` names the
    requester.
    """

    draft_id: str
    study_instance_uid: str
    by: str
    route: str | None = None
    indication: str | None = None
    options: DraftOptions = field(default_factory=DraftOptions)


@dataclass(slots=True)
class Drafter:
    """Makes drafts of an index's studies and stores them.

    `generator` None means `evidence-only`; `name` is kept with the draft. `may_show` tells whether the
    picture of an image id may be shown to the generator, `ready` whether the generator can write now (if
    None, it is asked itself).
    """

    scores: FindingScores
    images: ImageSource
    name: str = evidence_only.EVIDENCE_ONLY
    generator: Generator | None = None
    may_show: Callable[[int], bool] = lambda _image_id: True
    ready: Callable[[], Readiness] | None = None
    cancelled: Cancelled = never
    on_stage: OnStage = lambda _stage, _done, _total: None

    @property
    def index(self) -> CaseIndex:
        """Where studies and drafts are."""
        return self.scores.index

    def draft(self, request: DraftRequest) -> Draft:
        """Make and store a draft. Raises `CatalogError` `unknown-study`, and the generator's DraftError, that
        of its readiness among them.
        """
        self.on_stage("gathering evidence", 0, _STAGES)
        options = request.options
        evidence = gather(
            self.scores,
            request.study_instance_uid,
            EvidenceOptions(options.neighbours, options.findings, options.template, request.indication),
        )
        self._check_cancelled()
        written = self._by_evidence(evidence) if self.generator is None else self._by_model(evidence, options)
        self._check_cancelled()
        details = {**written.details, "quality": self._quality(request.study_instance_uid)}
        self.on_stage("storing", _STAGES - 1, _STAGES)
        return self._stored(request, replace(written, details=details), evidence)

    def _stored(self, request: DraftRequest, written: _Written, evidence: Evidence) -> Draft:
        draft = Draft(
            id=request.draft_id,
            study_instance_uid=request.study_instance_uid,
            route=request.route,
            generator=self.name,
            status="draft",
            text=written.text,
            evidence=evidence,
            checks=written.checks,
            text_without_context=written.text_without_context,
            flips=written.flips,
            thinking=written.thinking,
            details=written.details,
            omissions=written.omissions,
            incomplete=written.incomplete,
        )
        prior = [] if evidence.prior is None else [evidence.prior.study_instance_uid]
        record = self.index.drafts.add(
            draft.id,
            draft.study_instance_uid,
            route=draft.route,
            generator=draft.generator,
            text=draft.text,
            payload=payload_of(draft),
            cited=[*(case.study_instance_uid for case in evidence.similar), *prior],
            by=request.by,
        )
        return draft_of(record)

    def _by_evidence(self, evidence: Evidence) -> _Written:
        text, sentences = evidence_only.compose(evidence, background_of(evidence))
        found = review(text, evidence)
        return _Written(text, _with_sources(found.checks, text, sentences), found.omissions)

    def _by_model(self, evidence: Evidence, options: DraftOptions) -> _Written:
        """Draft twice where there is a retrieved report: the flips show what the retrieved texts change, and
        what only the first reply states may be about another patient.
        """
        images = self._pictures(evidence.study_instance_uid)
        self._check_ready()
        quotes = options.context and any((case.text or "").strip() for case in evidence.similar)
        self.on_stage("drafting", 1, _STAGES)
        prompt = self._prompt(evidence, options, images, with_context=quotes)
        reply, refusal = self._first_reply(prompt)
        if reply is not None and not prompt.context_studies:
            return _written(prompt, reply, review(reply.text, evidence))
        self.on_stage("drafting without context", 2, _STAGES)
        plain = self._prompt(evidence, options, images, with_context=False)
        unaided = self._reply(plain)
        copied = () if reply is None else copied_by_generator(reply.text, evidence, unaided.text)
        if reply is None or copied:
            written = _written(plain, unaided, review(unaided.text, evidence))
            withheld = {"sentences": len(copied) or 1} | ({"code": refusal} if refusal else {})
            details = written.details | {WITHHELD: withheld}
            return replace(written, text_without_context=unaided.text, details=details)
        flipped = flips(reply.text, unaided.text, evidence)
        found = review(reply.text, evidence, flipped=flipped, unaided=unaided.text)
        written = _written(prompt, reply, found)
        return replace(written, text_without_context=unaided.text, flips=flipped)

    def _check_ready(self) -> None:
        """Raise the reason why the generator cannot write now, before pictures are drawn for it."""
        assert self.generator is not None
        readiness = (self.ready or self.generator.ready)()
        if not readiness.ready:
            code = readiness.code or "generator-failed"
            raise DraftError(code, readiness.message, may_pass=readiness.may_pass)

    def _first_reply(self, prompt: Prompt) -> tuple[Reply | None, str | None]:
        """The reply to the first prompt; None with the code of its refusal where it names a patient, and may
        have taken the name from the report of a similar case.
        """
        try:
            return self._reply(prompt), None
        except DraftError as error:
            if error.code != NAMES_A_PATIENT or not prompt.context_studies:
                raise
            return None, error.code

    def _reply(self, prompt: Prompt) -> Reply:
        assert self.generator is not None
        reply = self.generator.generate(prompt, cancelled=self.cancelled)
        if is_in_another_language(reply.text):
            raise DraftError(
                "reply-other-language",
                f"{reply.model} answered in another language than English, which cannot be checked; use a "
                "model that keeps to the language of its instructions.",
            )
        return reply

    def _prompt(
        self,
        evidence: Evidence,
        options: DraftOptions,
        images: Sequence[EvidenceImage],
        *,
        with_context: bool,
    ) -> Prompt:
        assert self.generator is not None
        budget = self.generator.budget
        if options.max_images is not None:
            budget = replace(budget, most_pictures=min(options.max_images, budget.most_pictures))
        return build_prompt(evidence, self.images, budget, with_context=with_context, images=images)

    def _pictures(self, study_instance_uid: str) -> list[EvidenceImage]:
        study = self.index.study(study_instance_uid)
        shown = pictures_to_show(study, SliceNumbers.of(self.index, study))
        allowed = [image for image in shown if self.may_show(image.image_id)]
        if shown and not allowed:
            raise DraftError(
                "pictures-withheld",
                f"Every picture of study {study_instance_uid} may show who the patient is, so that none is "
                "handed to the generator; allow it in the generator's settings, or use evidence-only.",
            )
        return allowed

    def _quality(self, study_instance_uid: str) -> dict[str, Any]:
        images = self.index.images_of(study_instance_uid)
        warnings = Counter(warning for image in images for warning in image.warnings)
        return {"images": len(images), "warnings": dict(sorted(warnings.items()))}

    def _check_cancelled(self) -> None:
        if self.cancelled():
            raise cancellation()


@dataclass(frozen=True, slots=True)
class _Written:
    text: str
    checks: tuple[Check, ...]
    omissions: tuple[Omission, ...] = ()
    incomplete: str | None = None
    text_without_context: str | None = None
    flips: tuple[str, ...] = ()
    thinking: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def _written(prompt: Prompt, reply: Reply, found: Review) -> _Written:
    return _Written(
        reply.text,
        found.checks,
        found.omissions,
        reply.incomplete,
        thinking=reply.thinking,
        details=_details(prompt, reply),
    )


def _details(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    return {
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "template": prompt.template,
        "prompt_tokens": prompt.prompt_tokens,
        "image_ids": list(prompt.image_ids),
        "context_studies": [{"study_instance_uid": uid} for uid in prompt.context_studies],
    }


def _with_sources(
    checks: Sequence[Check], text: str, sentences: Sequence[evidence_only.Sourced]
) -> tuple[Check, ...]:
    """The checks with the sources of the composed sentence that holds each."""
    places, position = [], 0
    for sourced in sentences:
        start = text.index(sourced.sentence, position)
        position = start + len(sourced.sentence)
        places.append((start, position, sourced.sources))
    found = []
    for check in checks:
        sources = [
            one for start, end, named in places if start < check.end and check.start < end for one in named
        ]
        found.append(replace(check, sources=tuple(dict.fromkeys(sources))))
    return tuple(found)
