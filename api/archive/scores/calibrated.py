"""The stored calibrations that belong to scores: of the same texts or probe, space and level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medsiglip.answers.questions import Score
from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.calibration.applied import Calibrated, Stored
    from medsiglip.index.records import ProbeRecord
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
    here = {one.label: one.summary for one in kept if (one.space, one.level) == (space, level)}
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
    from medsiglip.calibration.applied import Calibrated, calibrated_prompts, subject_of_prompts

    subject = subject_of_prompts(prompt_set)
    stored, warnings = stored_calibrations(archive, subject, level or "study")
    if level is None and stored:
        warnings = (f"{subject} is calibrated for studies and single images, not for several of one file.",)
    if level is None or not stored:
        return Calibrated(), warnings
    found = calibrated_prompts(prompt_set, stored, margins)
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
    archive: OpenedArchive, record: ProbeRecord, margins: Mapping[str, float], level: str | None
) -> tuple[Calibrated, tuple[str, ...]]:
    """What stored calibrations make of the margins of a probe's labels for one image or study."""
    from medsiglip.calibration.applied import Calibrated, calibrated_labels

    subject = f"probe:{record.name}"
    stored, warnings = stored_calibrations(archive, subject, level or "study")
    if level is None or not stored:
        return Calibrated(), () if level is None else warnings
    found = calibrated_labels(stored, probe_fingerprint(record), margins)
    return found, (*warnings, *outdated_warnings(f"the probe {record.name}", found))


def probe_fingerprint(record: ProbeRecord) -> str:
    """What the margins of a probe depend on: its version, which never changes."""
    return f"version {record.version}"
