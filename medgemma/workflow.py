"""The workflow of a draft: a person edits, accepts or rejects it, and each step is recorded."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.drafts import DraftRecord, RevisionRecord
from medsiglip.medgemma.checks.concerns import concerns
from medsiglip.medgemma.checks.copied import copied_by_person, copied_in, is_persons, left_out
from medsiglip.medgemma.checks.marks import unmarked
from medsiglip.medgemma.checks.review import review
from medsiglip.medgemma.draft_record import acknowledging, draft_of, payload_of
from medsiglip.medgemma.errors import ConcernsError, DraftError
from medsiglip.medgemma.records import Concern, Draft, SentenceDecision, Status
from medsiglip.medgemma.sentence_decisions import decide, sentences

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Proposal:
    """A draft as it would be accepted: `difference` is that of its text to the draft's, None where it is the
    same. `settled` are the concerns of sentences that a person decided to keep, `concerns` the others, which
    are to be acknowledged.
    """

    draft: Draft
    difference: str | None
    settled: tuple[Concern, ...]
    concerns: tuple[Concern, ...]
    decisions: tuple[SentenceDecision, ...] = ()


Step = Literal["accept", "edit", "reject"]
TRANSITIONS: Mapping[tuple[Status, Step], Status] = {
    ("draft", "accept"): "accepted",
    ("draft", "edit"): "edited",
    ("draft", "reject"): "rejected",
    ("edited", "accept"): "accepted",
    ("edited", "edit"): "edited",
    ("edited", "reject"): "rejected",
}
"""The status after each step; an accepted or rejected draft has no further step."""
# Lines of a text: finding those that differ takes up to the square of their number (difflib).
_MOST_COMPARED = 1000


def accept(
    index: CaseIndex,
    draft_id: str,
    *,
    by: str,
    revision: int | None = None,
    acknowledge: Collection[str] = (),
    decisions: Sequence[SentenceDecision] = (),
    also: Callable[[Connection], None] = lambda connection: None,
) -> Draft:
    """Make the draft the study's report, which can be searched by its words from now on. An accepted draft of
    the study that was before it is kept, and superseded by this one.

    `acknowledge` are the ids of the concerns that the person has seen; they are kept in the history. Marks of
    `medsiglip.medgemma.checks.marks` are left out of the text, and so are words of other patients' reports in
    a draft of an earlier version of this program.

    `decisions` are about single sentences (`medsiglip.medgemma.sentence_decisions`) of the `revision` that
    the person has seen. To keep one is to acknowledge its concerns; where one is edited or cut the text is
    reviewed again, and the history has the edit as a step of its own. `also` is done in the transaction that
    accepts.

    `revision` is the number of steps that the person has seen; a draft with another has changed. Raises
    `CatalogError` `unknown-draft` or `draft-changed`, DraftError `draft-settled`, `draft-incomplete` for a
    text that was cut off and that nobody has completed, `revision-missing`, what `decide` raises, and
    `ConcernsError` where a concern is not acknowledged.
    """
    former = _taken(index, draft_id, "accept", revision)
    made = _proposal(draft_of(former), decisions, revision)
    if made.draft.incomplete is not None:
        raise DraftError(
            "draft-incomplete",
            f"The text of draft {draft_id} was cut off ({made.draft.incomplete}); complete it with "
            "`report edit`, or reject it.",
        )
    seen = frozenset(acknowledge)
    missing = [concern for concern in made.concerns if concern.id not in seen]
    if missing:
        raise ConcernsError(draft_id, missing)
    text = made.draft.text
    payload = acknowledging(payload_of(made.draft), [*made.settled, *made.concerns], made.decisions)
    step = RevisionRecord("accepted", by, text=text)
    edited = None
    if made.difference is not None:
        edited = RevisionRecord("edited", by, text=text, difference=made.difference)
    return draft_of(index.drafts.advance(former, step, payload, report=text, before=edited, also=also))


def propose(
    index: CaseIndex, draft_id: str, decisions: Sequence[SentenceDecision], revision: int | None = None
) -> Proposal:
    """What accepting with these decisions would make of the draft; nothing is stored. Raises as `accept`
    does, but for concerns and a text that was cut off.
    """
    former = _taken(index, draft_id, "accept", revision)
    return _proposal(draft_of(former), decisions, revision)


def _proposal(draft: Draft, decisions: Sequence[SentenceDecision], revision: int | None) -> Proposal:
    draft = to_accept(draft)
    if not decisions:
        return Proposal(draft, None, (), concerns(draft))
    if revision is None:
        raise DraftError(
            "revision-missing",
            f"Say which revision of draft {draft.id} the decisions are about: sentences are numbered in it.",
        )
    quotes = {one.number: one.text for one in sentences(draft)}
    made = decide(draft, decisions)
    kept = tuple(replace(one, quote=quotes[one.sentence]) for one in decisions)
    if made.text == draft.text:
        changed, differs = draft, None
    else:
        starts = [overlap.start for overlap in copied_by_person(made.text, draft)]
        changed, differs = _reviewed(draft, made.text, starts), difference(draft.text, made.text)
        if made.text.split() != draft.text.split():
            changed = replace(changed, incomplete=None)
    found = concerns(changed)
    ids = made.settled(found)
    settled = tuple(one for one in found if one.id in ids)
    return Proposal(changed, differs, settled, tuple(one for one in found if one.id not in ids), kept)


def reject(index: CaseIndex, draft_id: str, *, by: str, reason: str, revision: int | None = None) -> Draft:
    """Reject the draft for a reason; raises as `accept` does, and DraftError `reason-missing`."""
    former = _taken(index, draft_id, "reject", revision)
    if not reason.strip():
        raise DraftError("reason-missing", f"Say why draft {draft_id} is rejected.")
    return draft_of(index.drafts.advance(former, RevisionRecord("rejected", by, reason=reason.strip())))


def edit(index: CaseIndex, draft_id: str, *, by: str, text: str, revision: int | None = None) -> Draft:
    """Replace the draft's text by a person's, without the marks that it may have been copied with. The
    difference is kept, and the checks are made again; a sentence that is in the report of a similar case is
    flagged. A text that was cut off is complete from then on, unless its words are the same.

    Raises as `accept` does, and DraftError `text-missing`.
    """
    former = _taken(index, draft_id, "edit", revision)
    text = unmarked(text)
    if not text.strip():
        raise DraftError("text-missing", f"Give the text that draft {draft_id} shall have, or reject it.")
    draft = draft_of(former)
    complete = text.split() != former.text.split()
    changed = _reviewed(draft, text, [overlap.start for overlap in copied_by_person(text, draft)])
    payload = payload_of(replace(changed, incomplete=None if complete else draft.incomplete))
    step = RevisionRecord("edited", by, text=text, difference=difference(former.text, text))
    return draft_of(index.drafts.advance(former, step, payload))


def to_accept(draft: Draft) -> Draft:
    """The draft with the text that would be accepted: without marks, and without words of other patients that
    a machine left in it. It is reviewed again if it is another text.
    """
    if draft.status not in ("draft", "edited"):
        return draft
    copied = () if is_persons(draft) else copied_in(draft, draft.text)
    text = unmarked(left_out(draft.text, copied) if copied else draft.text)
    if text == draft.text:
        return draft
    starts = [overlap.start for overlap in copied_by_person(text, draft)] if is_persons(draft) else []
    return _reviewed(draft, text, starts)


def difference(before: str, after: str) -> str:
    """A unified diff of two texts by lines; of long texts all of one, and then all of the other."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > _MOST_COMPARED:
        spans = f"@@ -1,{len(old)} +1,{len(new)} @@"
        lines = ["--- before", "+++ after", spans, *(f"-{one}" for one in old), *(f"+{one}" for one in new)]
        return "\n".join(lines if old != new else ())
    return "\n".join(difflib.unified_diff(old, new, "before", "after", lineterm=""))


def _reviewed(draft: Draft, text: str, copied: Collection[int] = ()) -> Draft:
    found = review(
        text, draft.evidence, copied=copied, flipped=draft.flips, unaided=draft.text_without_context
    )
    return replace(draft, text=text, checks=found.checks, omissions=found.omissions)


def _taken(index: CaseIndex, draft_id: str, step: Step, revision: int | None) -> DraftRecord:
    """The draft, if its status allows the step."""
    record = index.drafts.get(draft_id)
    status: Any = record.status
    if (status, step) not in TRANSITIONS:
        raise DraftError("draft-settled", f"Draft {draft_id} is {status} already, and stays so.")
    if revision is not None and revision != record.revision:
        raise DraftError(
            "draft-changed", f"Draft {draft_id} was changed meanwhile and is {status} now; look at it again."
        )
    return record
