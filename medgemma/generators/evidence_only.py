"""`evidence-only`: a structured draft from scores alone, without any generator.

Every sentence names its source and is about this patient. Retrieved reports are evidence beside the draft:
its text has nothing of similar cases, and of the earlier study only that there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medsiglip.medgemma.records import Evidence, PriorStudy

EVIDENCE_ONLY = "evidence-only"
"""The name of this generator, which needs no configuration."""


@dataclass(frozen=True, slots=True)
class Sourced:
    """A sentence of a draft and its sources: sources of scores or Study Instance UIDs."""

    sentence: str
    sources: tuple[str, ...]


def compose(evidence: Evidence) -> tuple[str, tuple[Sourced, ...]]:
    """The draft and its sentences. Findings are stated as present, absent or open, as their scores are."""
    sections = [("FINDINGS", list(_findings(evidence)))]
    if evidence.prior is not None:
        sections.append(("COMPARISON", [_prior(evidence.prior)]))
    text = "\n\n".join(
        f"{heading}:\n" + "\n".join(sourced.sentence for sourced in sentences)
        for heading, sentences in sections
    )
    return text, tuple(sourced for _, sentences in sections for sourced in sentences)


def _findings(evidence: Evidence) -> Iterator[Sourced]:
    findings = evidence.findings
    if not findings and evidence.left_out:
        yield Sourced("What is scored here was trained on this patient, and its scores are left out.", ())
    elif not findings:
        yield Sourced("Nothing that is scored here fits this kind of picture.", ())
    by_presence = ((True, "{} is present"), (None, "{} cannot be excluded"), (False, "{} is absent"))
    for present, form in by_presence:
        for finding in findings:
            if finding.present is present:
                name = finding.label.replace("-", " ").replace("_", " ")
                statement = form.format(name[:1].upper() + name[1:])
                where = f"image {finding.image_id}"
                yield Sourced(
                    f"{statement} ({finding.source}, score {finding.probability:.2f}, {where}).",
                    (finding.source,),
                )


def _prior(prior: PriorStudy) -> Sourced:
    uid = prior.study_instance_uid
    report = "with a report on file" if prior.text else "without a report here"
    return Sourced(f"Earlier study {uid} of {prior.study_date or 'an unknown date'}, {report}.", (uid,))
