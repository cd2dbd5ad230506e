"""What the checks read beside the scores of a study: the report of the prior study."""

from __future__ import annotations

from dataclasses import replace

from medsiglip.medgemma.checks.omissions import omissions
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.generators.evidence_only import compose
from medsiglip.medgemma.narrative.composing import Background
from medsiglip.medgemma.records import Evidence


def background_of(evidence: Evidence) -> Background:
    """The statements of the prior's report that a draft from the scores alone would omit."""
    if evidence.prior is None or not evidence.prior.text:
        return Background()
    omitted = omissions(check_draft(compose(evidence)[0], evidence), evidence)
    names = {one.finding for one in omitted if one.reason == "prior"}
    stated = check_draft(evidence.prior.text, replace(evidence, findings=(), prior=None))
    clauses = [one.sentence for one in stated if one.finding in names and one.polarity is True]
    return Background(tuple(clause.strip().rstrip(" .;,") for clause in dict.fromkeys(clauses)))
