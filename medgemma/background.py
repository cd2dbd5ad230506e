"""What the checks read beside the scores of a study: the report of the prior study, and languages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from medsiglip.medgemma.checks.language import other_language
from medsiglip.medgemma.checks.omissions import omissions
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.generators.evidence_only import compose
from medsiglip.medgemma.narrative.composing import Background
from medsiglip.medgemma.records import Evidence


def background_of(evidence: Evidence) -> Background:
    """The statements of the prior's report that a draft from the scores alone would omit, and the texts that
    are in another language than English.
    """
    clauses = dict.fromkeys(clause.strip().rstrip(" .;,") for clause in _omitted(evidence))
    prior = "" if evidence.prior is None else evidence.prior.text or ""
    texts = {"indication": evidence.indication or "", "earlier report": prior}
    languages = {name: other_language(text) for name, text in texts.items()}
    return Background(tuple(clauses), tuple((name, known) for name, known in languages.items() if known))


def _omitted(evidence: Evidence) -> Iterator[str]:
    if evidence.prior is None or not evidence.prior.text:
        return
    found = omissions(check_draft(compose(evidence)[0], evidence), evidence)
    names = {one.finding for one in found if one.reason == "prior"}
    for check in check_draft(evidence.prior.text, replace(evidence, findings=(), prior=None)):
        if check.finding in names and check.polarity is True:
            yield check.sentence
