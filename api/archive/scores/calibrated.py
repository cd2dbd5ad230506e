"""The stored calibrations that belong to scores: of the same texts or probe, space and level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medsiglip.answers.questions import Score
from medsiglip.medgemma.calibrations import probe_calibrations
from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.calibration.applied import Calibrated, Stored
    from medsiglip.index.records import ProbeRecord
    from medsiglip.probes.probe import Probe
    from medsiglip.zero_shot.prompt_set import PromptSet

_LISTED = 3


def stored_calibrations(archive: OpenedArchive, subject: str, level: str) -> tuple[Stored, tuple[str, ...]]:
    """What is stored of a subject for the archive's space and a level, by label, and what to say where there
    is something that does not belong to these.
    """
    if not archive.is_there:
        return {}, ()
    space = archive.space.name
    kept = archive.index.calibrations.of_subject(subject)
    by_version = sorted(kept, key=lambda one: one.version)  # of labels that mean the same the newest counts
    here = {one.label: one.summary for one in by_version if (one.space, one.level) == (space, level)}
    if here or not kept:
        return here, ()
    levels = sorted({one.level for one in kept if one.space == space})
    if levels:
        what = f"is calibrated at {' and '.join(levels)} level, and this is a question of one {level}"
    else:
        what = "was calibrated in another space, with another model"
    return {}, (
        f"{subject} {what}: its scores stay uncalibrated. `calibrate` makes a calibration that fits.",
    )


def calibrated_scores(
    archive: OpenedArchive,
    prompt_set: PromptSet,
    margins: Floats,
    level: str | None,
    fits: Mapping[str, bool | None],
) -> tuple[Calibrated, tuple[str, ...]]:
    """What stored calibrations make of the margins [L] of one image or study, and warnings. A label that is
    not known to fit has none; nor have the pictures of one file together, which are neither, of `level` None.
    """
    from medsiglip.calibration.applied import Calibrated, Calibrations, subject_of_prompts

    subject = subject_of_prompts(prompt_set)
    stored, warnings = stored_calibrations(archive, subject, level or "study")
    if level is None and stored:
        warnings = (f"{subject} is calibrated for studies and single images, not for several of one file.",)
    if level is None or not stored:
        return Calibrated(), warnings
    found = Calibrations.of_prompts(prompt_set, stored).judge(margins)
    return _fitting(found, prompt_set, fits), (*warnings, *outdated_warnings(subject, found))


def outdated_warnings(subject: str, found: Calibrated) -> tuple[str, ...]:
    """What to say of labels whose calibration was made for other texts or another version of a probe."""
    if not found.outdated:
        return ()
    named = ", ".join(found.outdated[:_LISTED])
    more = f" and {len(found.outdated) - _LISTED} more" if len(found.outdated) > _LISTED else ""
    return (
        f"The calibration of {named}{more} was made for another version of {subject}, and is not used: "
        "calibrate again.",
    )


def _fitting(found: Calibrated, prompt_set: PromptSet, fits: Mapping[str, bool | None]) -> Calibrated:
    """What is left of labels that fit, or are about any picture."""
    from medsiglip.calibration.applied import Calibrated
    from medsiglip.zero_shot.prompt_set import EVERYBODY

    kept = set()
    for label, one in prompt_set.prompts.items():
        anything = not one.where and not one.regions and one.population == EVERYBODY
        if anything or fits.get(label) is True:
            kept.add(label)
    if prompt_set.exclusive and len(kept) < len(prompt_set.prompts):
        return Calibrated(outdated=found.outdated)
    return Calibrated(
        {label: one for label, one in found.probability.items() if label in kept},
        {label: one for label, one in found.verdict.items() if label in kept},
        None if found.possible is None or not kept else tuple(one for one in found.possible if one in kept),
        found.outdated,
    )


def with_calibration(scores: Sequence[Score], found: Calibrated) -> tuple[Score, ...]:
    """The scores with their calibrated probabilities and verdicts, where there are any, best first: after
    these the others, which cannot be compared with them.
    """
    changed = []
    for one in scores:
        fields: dict[str, Any] = {}
        if one.label in found.probability:
            fields = {"probability": found.probability[one.label], "calibrated": True}
        if one.label in found.verdict:
            fields["verdict"] = found.verdict[one.label]
        changed.append(one.model_copy(update=fields) if fields else one)
    return tuple(sorted(changed, key=lambda one: (not one.calibrated, -one.probability)))


def calibrated_probe(
    archive: OpenedArchive, record: ProbeRecord, probe: Probe, margins: Floats, level: str | None
) -> tuple[Calibrated, tuple[str, ...]]:
    """What stored calibrations make of the margins [L] of a probe's labels for one image or study; nothing
    unless all of its labels are calibrated.
    """
    from medsiglip.calibration.applied import Calibrated

    stored, warnings = stored_calibrations(archive, f"probe:{record.name}", level or "study")
    if level is None or not stored:
        return Calibrated(), () if level is None else warnings
    found = probe_calibrations(record, probe, stored).judge(margins)
    warnings = (*warnings, *outdated_warnings(f"the probe {record.name}", found))
    missing = [label for label in probe.labels if label not in found.probability]
    if missing and found.probability:
        named = ", ".join(missing[:_LISTED])
        warnings = (*warnings, f"{named} of the probe {record.name} has no calibration: calibrate it, too.")
    return (Calibrated(outdated=found.outdated) if missing else found), warnings


def calibrated_fields(found: Calibrated) -> dict[str, Any]:
    """The fields of a probe's prediction that a calibration gives: none without one."""
    if not found.probability:
        return {"calibrated": False}
    fields: dict[str, Any] = {"probability": dict(found.probability), "calibrated": True}
    if found.verdict:
        fields["verdict"] = dict(found.verdict)
    return fields if found.possible is None else {**fields, "set": found.possible}
