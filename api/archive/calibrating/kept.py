"""The calibrations that a home keeps: listed, shown and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsiglip.answers.calibrations import Calibration, CalibrationList, LabelCalibration, RemovedCalibrations
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt

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
    held = archive.index.space
    found: dict[tuple[str, str, str], list[CalibrationRecord]] = {}
    for one in records:
        found.setdefault((one.space, one.subject, one.level), []).append(one)
    return tuple(
        Calibration.model_validate(
            {
                "subject": subject,
                "space": space,
                "level": level,
                "active": held is not None and held.name == space,
                "labels": tuple(_label(one) for one in theirs),
            }
        )
        for (space, subject, level), theirs in found.items()
    )


def _label(record: CalibrationRecord) -> LabelCalibration:
    return LabelCalibration(
        label=record.label,
        version=record.version,
        method=record.method,
        created_at=record.created_at.isoformat(),
        **record.summary["figures"],
    )
