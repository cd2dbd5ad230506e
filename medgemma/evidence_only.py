"""`evidence-only`: a structured draft from scores and retrieved reports alone, without any generator.

Every sentence names its source. What is retrieved is quoted under COMPARISON, where no sentence speaks of
this study.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medgemma.records import Evidence, Finding, SimilarCase
from medgemma.rules import EVIDENCE_ONLY

NAME = EVIDENCE_ONLY
_QUOTED_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Sourced:
    """A sentence of a draft and what it stands on: sources of scores or Study Instance UIDs."""

    sentence: str
    sources: tuple[str, ...]


def compose(evidence: Evidence, *, with_context: bool = True) -> tuple[str, tuple[Sourced, ...]]:
    """The draft and its sentences. Findings are stated as present, absent or open as their scores say."""
    sections = [("FINDINGS", list(_findings(evidence.findings)))]
    compared = [_prior(evidence)] if evidence.prior is not None else []
    compared += [_similar(case) for case in evidence.similar] if with_context else []
    if compared:
        sections.append(("COMPARISON", compared))
    text = "\n\n".join(
        f"{heading}:\n" + "\n".join(sourced.sentence for sourced in sentences)
        for heading, sentences in sections
    )
    return text, tuple(sourced for _, sentences in sections for sourced in sentences)


def _findings(findings: Sequence[Finding]) -> Iterator[Sourced]:
    if not findings:
        yield Sourced("Nothing that is scored here fits this kind of picture.", ())
    by_standing = ((True, "{} is present"), (None, "{} cannot be excluded"), (False, "{} is absent"))
    for present, form in by_standing:
        for finding in findings:
            if finding.present is present:
                name = finding.label.replace("-", " ").replace("_", " ")
                said = form.format(name[:1].upper() + name[1:])
                where = f"image {finding.image_id}"
                yield Sourced(
                    f"{said} ({finding.source}, score {finding.probability:.2f}, {where}).", (finding.source,)
                )


def _prior(evidence: Evidence) -> Sourced:
    assert evidence.prior is not None
    day = evidence.prior.study_date or "an unknown date"
    uid = evidence.prior.study_instance_uid
    quoted = f": {_quoted(evidence.prior.text)}" if evidence.prior.text else ", without a report here."
    return Sourced(f"Earlier study {uid} of {day}{quoted}", (uid,))


def _similar(case: SimilarCase) -> Sourced:
    uid = case.study_instance_uid
    labels = ", ".join(name for name, value in sorted(case.labels.items()) if value > 0) or "none"
    quoted = _quoted(case.text) if case.text else "no report."
    nearness = f"similarity {case.score:.2f}; labels: {labels}"
    return Sourced(f"Similar case of another patient, study {uid} ({nearness}): {quoted}", (uid,))


def _quoted(text: str) -> str:
    line = " ".join(text.replace('"', "'").split())
    return f'"{line[:_QUOTED_CHARACTERS]}"'
