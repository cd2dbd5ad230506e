"""What the checks read beside the scores of a study: the report of the prior study, and languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from medsiglip.medgemma.checks.language import other_language
from medsiglip.medgemma.checks.persons import persons_in
from medsiglip.medgemma.checks.sentences import split
from medsiglip.medgemma.checks.terms import table
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.narrative.composing import Background
from medsiglip.medgemma.records import Evidence

_HEADING = re.compile(r"[A-Za-z][A-Za-z /&-]{0,38}:\s+")


def background_of(evidence: Evidence) -> Background:
    """What the prior's report states as present, and the texts that are in another language than English."""
    prior = "" if evidence.prior is None else evidence.prior.text or ""
    texts = {"indication": evidence.indication or "", "earlier report": prior}
    languages = {name: other_language(text) for name, text in texts.items()}
    return Background(
        tuple(dict.fromkeys(_stated(evidence, prior))),
        tuple((name, known) for name, known in languages.items() if known),
    )


def _stated(evidence: Evidence, text: str) -> Iterator[str]:
    """The sentences of a report that state a finding as present, without the name of their section."""
    checks = check_draft(text, replace(evidence, findings=(), prior=None))
    present = [check.start for check in checks if check.finding is not None and check.polarity is True]
    sections = table("wording")["sections"]
    headings = frozenset(sections["seen"] + sections["unseen"])
    following = 0
    for sentence in split(text, headings):
        while following < len(present) and present[following] < sentence.start:
            following += 1
        if following < len(present) and present[following] < sentence.end:
            words = text[sentence.start : sentence.end]
            named = _HEADING.match(words)
            if named and named[0].strip(": \n").lower() in headings:
                words = words[named.end() :]
            if not persons_in(words):
                yield words.strip().rstrip(" .;,")
