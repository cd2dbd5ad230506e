"""The workflow of a draft: a person edits, accepts or rejects it, and each step is recorded."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.drafts import DraftRecord, RevisionRecord
from medsiglip.medgemma.checks.copied import copied_by_person, copied_in, is_persons, left_out
from medsiglip.medgemma.checks.verify import check_draft, flag_flips
from medsiglip.medgemma.draft_record import draft_of, payload_of
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.records import Draft, Status

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


def accept(index: CaseIndex, draft_id: str, *, by: str, revision: int | None = None) -> Draft:
    """Make the draft the study's report, which can be searched by its words from now on.

    Words of other patients' reports in a draft of an earlier version of this program are left out of it.

    `revision` is the number of steps that the person has seen; a draft with another has changed. Raises
    `CatalogError` `unknown-draft` or `draft-changed`, DraftError `draft-settled`.
    """
    former = _taken(index, draft_id, "accept", revision)
    draft = draft_of(former)
    copied = () if is_persons(draft) else copied_in(draft, draft.text)
    if not copied:
        step = RevisionRecord("accepted", by, text=draft.text)
        return draft_of(index.drafts.advance(former, step, report=draft.text))
    text = left_out(draft.text, copied)
    payload = payload_of(replace(draft, checks=check_draft(text, draft.evidence)))
    step = RevisionRecord("accepted", by, text=text)
    return draft_of(index.drafts.advance(former, step, payload, report=text))


def reject(index: CaseIndex, draft_id: str, *, by: str, reason: str, revision: int | None = None) -> Draft:
    """Reject the draft for a reason; raises as `accept` does, and DraftError `reason-missing`."""
    former = _taken(index, draft_id, "reject", revision)
    if not reason.strip():
        raise DraftError("reason-missing", f"Say why draft {draft_id} is rejected.")
    return draft_of(index.drafts.advance(former, RevisionRecord("rejected", by, reason=reason.strip())))


def edit(index: CaseIndex, draft_id: str, *, by: str, text: str, revision: int | None = None) -> Draft:
    """Replace the draft's text by a person's. The difference is kept, and the checks are made again; a
    sentence that is in the report of a similar case is flagged.

    Raises as `accept` does, and DraftError `text-missing`.
    """
    former = _taken(index, draft_id, "edit", revision)
    if not text.strip():
        raise DraftError("text-missing", f"Give the text that draft {draft_id} shall have, or reject it.")
    draft = draft_of(former)
    copied = [overlap.start for overlap in copied_by_person(text, draft)]
    checks = flag_flips(check_draft(text, draft.evidence, copied), draft.flips)
    payload: dict[str, Any] = payload_of(replace(draft, checks=checks))
    step = RevisionRecord("edited", by, text=text, difference=difference(former.text, text))
    return draft_of(index.drafts.advance(former, step, payload))


def difference(before: str, after: str) -> str:
    """A unified diff of two texts by lines; of long texts all of one, and then all of the other."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > _MOST_COMPARED:
        spans = f"@@ -1,{len(old)} +1,{len(new)} @@"
        lines = ["--- before", "+++ after", spans, *(f"-{one}" for one in old), *(f"+{one}" for one in new)]
        return "\n".join(lines if old != new else ())
    return "\n".join(difflib.unified_diff(old, new, "before", "after", lineterm=""))


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
