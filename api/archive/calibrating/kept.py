"""The calibrations that a home keeps: listed, shown and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medsiglip.answers.calibrations import Calibration, CalibrationList, LabelCalibration, RemovedCalibrations
from medsiglip.api.archive.scores.calibrated import outdated_warnings
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.medgemma.calibrations import probe_fingerprint

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.storage.calibrations import CalibrationRecord


def list_calibrations(archive: OpenedArchive, *, all_versions: bool = False) -> CalibrationList:
    """The calibrations of the home, by space, subject and level: the newest of each label, or every one."""
    records = archive.index.calibrations.listed(all_versions=all_versions)
    return CalibrationList(calibrations=_together(archive, records))


def show_calibration(archive: OpenedArchive, subject: str, *, all_versions: bool = False) -> CalibrationList:
    """The calibrations of one subject, `prompts:NAME`, `labels` or `probe:NAME`, with their figures. Raises
    ServiceError `unknown-calibration`.
    """
    records = archive.index.calibrations.listed(all_versions=all_versions)
    theirs = [one for one in records if one.subject == subject]
    if not theirs:
        known = ", ".join(dict.fromkeys(one.subject for one in records)) or "none"
        raise ServiceError(
            "unknown-calibration",
            f"there is no calibration of {excerpt(subject)} in this home: there is one of {known}.",
        )
    return CalibrationList(calibrations=_together(archive, theirs))


def remove_calibration(
    archive: OpenedArchive, subject: str, *, level: str | None = None
) -> RemovedCalibrations:
    """Remove the calibrations of a subject, of all versions, of one level or of all. Raises ServiceError
    `unknown-calibration`.
    """
    show_calibration(archive, subject)
    removed = archive.index.calibrations.remove(subject, level)
    return RemovedCalibrations(subject=subject, removed=removed)


def _together(archive: OpenedArchive, records: Sequence[CalibrationRecord]) -> tuple[Calibration, ...]:
    from medsiglip.calibration.applied import Calibrated

    held = archive.index.space
    found: dict[tuple[str, str, str], list[CalibrationRecord]] = {}
    for one in records:
        found.setdefault((one.space, one.subject, one.level), []).append(one)
    answers = []
    for (space, subject, level), theirs in found.items():
        fields: dict[str, Any] = {"subject": subject, "space": space, "level": level}
        fields["active"] = held is not None and held.name == space
        fields["labels"] = tuple(_label(one) for one in theirs)
        outdated = _outdated(archive, subject, theirs)
        if outdated is not None:
            fields["outdated"] = bool(outdated)
            fields["warnings"] = outdated_warnings(subject, Calibrated(outdated=outdated))
        answers.append(Calibration.model_validate(fields))
    return tuple(answers)


def _outdated(
    archive: OpenedArchive, subject: str, records: Sequence[CalibrationRecord]
) -> tuple[str, ...] | None:
    """The labels whose newest calibration, the first of the records, is of other texts or of another version
    of the probe than there is now; None for a prompt set that is not bundled, whose texts are elsewhere.
    """
    from medsiglip.calibration.applied import fingerprints
    from medsiglip.zero_shot.free_labels import free_labels
    from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set

    newest: dict[str, str] = {}
    for one in records:
        newest.setdefault(one.label, str(one.summary["fingerprint"]))
    kind, _, name = subject.partition(":")
    if kind == "prompts" and name not in list_prompt_sets():
        return None
    if kind == "prompts":
        now = fingerprints(load_prompt_set(name))
    elif kind == "probe":
        record = archive.index.probes.find(name)
        now = {} if record is None else dict.fromkeys(newest, probe_fingerprint(record))
    else:
        now = {label: fingerprints(free_labels([label]))[label] for label in newest}
    return tuple(label for label, made_for in newest.items() if now.get(label) != made_for)


def _label(record: CalibrationRecord) -> LabelCalibration:
    return LabelCalibration(
        label=record.label,
        version=record.version,
        method=record.method,
        created_at=record.created_at.isoformat(),
        **record.summary["figures"],
    )
