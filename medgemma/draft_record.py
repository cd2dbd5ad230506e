"""Converts drafts to and from the rows of the index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, cast

from medsiglip.index.catalogue.draft_schema import SUPERSEDED_BY, SUPERSEDES
from medsiglip.index.service.drafts import DraftRecord, RevisionRecord
from medsiglip.medgemma.checks.review import review
from medsiglip.medgemma.generators.replies import why_incomplete
from medsiglip.medgemma.records import (
    Attribute,
    Check,
    Concern,
    Draft,
    Evidence,
    EvidenceImage,
    EvidenceSeries,
    Finding,
    Omission,
    PriorStudy,
    Revision,
    SentenceDecision,
    SimilarCase,
    Status,
)

_ACKNOWLEDGED = "acknowledged"
"""The key of a payload for the concerns with which its draft was accepted."""
_DECISIONS = "decisions"
"""The key of a payload for what was then decided about single sentences."""


def payload_of(draft: Draft) -> dict[str, Any]:
    """The part of a draft that its row keeps as JSON; `context_studies` and the like are in `details`."""
    return {
        "evidence": asdict(draft.evidence),
        "checks": [asdict(check) for check in draft.checks],
        "text_without_context": draft.text_without_context,
        "flips": list(draft.flips),
        "thinking": draft.thinking,
        "details": dict(draft.details),
        "omissions": [asdict(omission) for omission in draft.omissions],
        "incomplete": draft.incomplete,
        SUPERSEDES: draft.supersedes,
        SUPERSEDED_BY: draft.superseded_by,
    }


def draft_of(record: DraftRecord) -> Draft:
    """Return the draft of a row."""
    payload = record.payload
    return Draft(
        id=record.id,
        study_instance_uid=record.study_instance_uid,
        route=record.route,
        generator=record.generator,
        status=cast(Status, record.status),
        text=record.text,
        evidence=_evidence(payload["evidence"]),
        checks=tuple(_check(one) for one in payload.get("checks") or ()),
        text_without_context=payload.get("text_without_context"),
        flips=tuple(payload.get("flips") or ()),
        thinking=payload.get("thinking"),
        created_at=record.created_at.isoformat(),
        history=tuple(_revision(step, payload) for step in record.history),
        details=payload.get("details") or {},
        omissions=_omissions(record),
        incomplete=incomplete_of(payload, record.status),
        supersedes=payload.get(SUPERSEDES),
        superseded_by=payload.get(SUPERSEDED_BY),
    )


def incomplete_of(payload: Mapping[str, Any], status: str) -> str | None:
    """Why the text of a stored draft is cut off; what an earlier version kept says it in its details."""
    if "incomplete" in payload or status != "draft":
        return cast(str | None, payload.get("incomplete"))
    reason = (payload.get("details") or {}).get("finish_reason")
    return None if reason is None else why_incomplete(reason)


def _omissions(record: DraftRecord) -> tuple[Omission, ...]:
    """What a stored draft omits; one that an earlier version kept, and nobody has settled, is reviewed."""
    payload = record.payload
    if "omissions" in payload or record.status not in ("draft", "edited"):
        return tuple(Omission(**one) for one in payload.get("omissions") or ())
    return review(record.text, _evidence(payload["evidence"])).omissions


def acknowledging(
    payload: Mapping[str, Any], concerns: Iterable[Concern], decisions: Iterable[SentenceDecision] = ()
) -> dict[str, Any]:
    """A payload with the concerns with which its draft is accepted, and with what was decided then about
    single sentences.
    """
    kept = {**payload, _ACKNOWLEDGED: [asdict(concern) for concern in concerns]}
    decided = [asdict(decision) for decision in decisions]
    return kept | ({_DECISIONS: decided} if decided else {})


def _acknowledged(payload: Mapping[str, Any]) -> tuple[Concern, ...]:
    return tuple(Concern(**one) for one in payload.get(_ACKNOWLEDGED) or ())


def _decisions(payload: Mapping[str, Any]) -> tuple[SentenceDecision, ...]:
    return tuple(SentenceDecision(**one) for one in payload.get(_DECISIONS) or ())


def _check(stored: Mapping[str, Any]) -> Check:
    attributes = tuple(Attribute(**one) for one in stored.get("attributes") or ())
    return Check(**{**_tuples(stored, "flags", "sources"), "attributes": attributes})


def _evidence(stored: Mapping[str, Any]) -> Evidence:
    prior = stored.get("prior")
    read = {
        "findings": tuple(Finding(**one) for one in stored.get("findings") or ()),
        "images": _images(stored),
        "similar": tuple(SimilarCase(**one) for one in stored.get("similar") or ()),
        "prior": None if prior is None else PriorStudy(**{**prior, "images": _images(prior)}),
        "left_out": tuple(stored.get("left_out") or ()),
        "not_scored": tuple(stored.get("not_scored") or ()),
        "series": tuple(EvidenceSeries(**one) for one in stored.get("series") or ()),
    }
    return Evidence(**{**stored, **read})


def _images(stored: Mapping[str, Any]) -> tuple[EvidenceImage, ...]:
    return tuple(EvidenceImage(**_tuples(one, "labels")) for one in stored.get("images") or ())


def _tuples(stored: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: tuple(value) if name in names else value for name, value in stored.items()}


def _revision(step: RevisionRecord, payload: Mapping[str, Any]) -> Revision:
    is_last = step.status == "accepted"
    return Revision(
        status=cast(Status, step.status),
        by=step.by,
        at="" if step.at is None else step.at.isoformat(),
        text=step.text,
        difference=step.difference,
        reason=step.reason,
        acknowledged=_acknowledged(payload) if is_last else (),
        decisions=_decisions(payload) if is_last else (),
    )
