"""The standing of a draft: machine-drafted until a person has accepted it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from medsiglip.medgemma.checks.concerns import incomplete_sentence
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.records import Draft, Revision

MARK = "MACHINE-DRAFTED, NOT A REPORT"
INCOMPLETE_MARK = "MACHINE-DRAFTED AND CUT OFF, NOT A REPORT"
REJECTED_MARK = "MACHINE-DRAFTED AND REJECTED, NOT A REPORT"


@dataclass(frozen=True, slots=True)
class Standing:
    """`mark` must be wherever a reader may look first, and is None once a person has accepted.

    `at` is the time of the last step, in UTC; `by` who accepted or rejected, None while nobody has.
    `incomplete` is a sentence where the generator's text is cut off. `supersedes` and `superseded_by` are
    ids of other accepted drafts of the study.
    """

    mark: str | None
    sentence: str
    at: datetime
    by: str | None = None
    reason: str | None = None
    incomplete: str | None = None
    supersedes: str | None = None
    superseded_by: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether a person is responsible for the text."""
        return self.mark is None


def standing(draft: Draft) -> Standing:
    """The state of the draft in its workflow. What a person edited is marked as a draft, too, until it is
    accepted.

    Raises `DraftError` `draft-undecided-by` where nobody is on record for the status, `draft-undated` where
    a time is missing or is no ISO 8601.
    """
    written = f"Drafted by machine ({draft.generator})"
    if draft.status == "draft":
        at = moment(draft.created_at, draft)
        sentence = f"{written} on {day(at)}. Nobody has accepted it: it is not a report."
        return _unaccepted(draft, sentence, at)
    step = _decision(draft)
    at = moment(step.at, draft)
    if draft.status == "rejected":
        reason = step.reason or "none given"
        sentence = f"{written}. Rejected by {step.by} on {day(at)}: it is not a report. Reason: {reason}"
        return Standing(REJECTED_MARK, sentence, at, step.by, reason, incomplete_sentence(draft))
    if draft.status == "edited":
        sentence = f"{written}, edited by {step.by} on {day(at)}. Nobody has accepted it: it is not a report."
        return _unaccepted(draft, sentence, at)
    return _accepted(draft, written, step, at)


def _unaccepted(draft: Draft, sentence: str, at: datetime) -> Standing:
    incomplete = incomplete_sentence(draft)
    return Standing(INCOMPLETE_MARK if incomplete else MARK, sentence, at, incomplete=incomplete)


def _accepted(draft: Draft, written: str, step: Revision, at: datetime) -> Standing:
    changed = any(earlier.status == "edited" for earlier in draft.history)
    how = "accepted with changes" if changed else "accepted"
    sentence = f"{written}, {how} by {step.by} on {day(at)}."
    if draft.supersedes:
        sentence += f" Addendum: it supersedes report {draft.supersedes}."
    if draft.superseded_by:
        sentence += f" Superseded by report {draft.superseded_by}."
    return Standing(
        None, sentence, at, step.by, supersedes=draft.supersedes, superseded_by=draft.superseded_by
    )


def report_text(draft: Draft) -> str:
    """The current text: a person's where a person changed it, else the generator's."""
    if draft.status in ("accepted", "edited"):
        for step in reversed(draft.history):
            if step.text is not None and step.status in ("accepted", "edited"):
                return step.text
    return draft.text


def moment(text: str, draft: Draft) -> datetime:
    """An ISO 8601 time in UTC; one without a zone is in UTC already."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise DraftError(
            "draft-undated",
            f"Draft {draft.id} has the time {text!r}, which is no ISO 8601; draft the study anew.",
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def day(at: datetime) -> str:
    """A time for people to read."""
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _decision(draft: Draft) -> Revision:
    for step in reversed(draft.history):
        if step.status == draft.status and step.by:
            return step
    raise DraftError(
        "draft-undecided-by",
        f"Draft {draft.id} is {draft.status}, but nobody is on record for that; accept or reject it again.",
    )
