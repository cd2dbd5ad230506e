"""Probes that leave a home, and come into one, as `probe.json` and `probe.safetensors`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from medsiglip.answers.figures import Probe as ProbeAnswer
from medsiglip.answers.probes import ExportedProbe
from medsiglip.api.archive.files import AnyPath, output_folder
from medsiglip.api.archive.probes.registry import (
    active_space,
    keep_probe,
    loaded_probe,
    require_name,
    require_space,
    show_probe,
    stored_probe,
)
from medsiglip.errors import ModelError
from medsiglip.medgemma.calibrations import probe_fingerprint
from medsiglip.probes.files import DESCRIPTION, read_files, write_files

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import ProbeRecord
    from medsiglip.probes.probe import Probe

# What a home knows of whom it trained on, and does not give away.
_OF_PATIENTS = ("patients", "suspects")
_OF_HOME = ("name", "space", "version", "origin", "predictions")


def export_probe(archive: OpenedArchive, name: str, *, out: AnyPath) -> ExportedProbe:
    """Write a probe, `NAME` or `NAME@2`, as two files into the folder `out`, with its figures and its
    calibration, and without the keys of its patients or the UIDs of their studies.
    """
    record = stored_probe(archive, name)
    files = packed_probe(archive, record)
    folder = output_folder(out)
    write_files(folder, files)
    return ExportedProbe(
        name=record.name, version=record.version, path=str(folder), files=tuple(sorted(files))
    )


def packed_probe(archive: OpenedArchive, record: ProbeRecord) -> dict[str, bytes]:
    """The content of the two files of a probe, by name."""
    from medsiglip.probes.exchange import packed

    stored = archive.index.calibrations.of_subject(f"probe:{record.name}")
    own = (record.space, probe_fingerprint(record))
    about = {
        "name": record.name,
        "version": record.version,
        "summary": {name: value for name, value in record.summary.items() if name not in _OF_PATIENTS},
        "calibrations": [
            {"level": one.level, "label": one.label, "method": one.method, "summary": dict(one.summary)}
            for one in stored
            if (one.space, one.summary["fingerprint"]) == own
        ],
    }
    return packed(loaded_probe(archive, record), about)


def import_probe(
    archive: OpenedArchive, path: AnyPath | Sequence[AnyPath], *, name: str | None = None
) -> ProbeAnswer:
    """Take in the probe of a folder that `probe export` made, or of its zip or two files, under its own name
    or another; one that the home has already gets a next version.

    Raises ServiceError `space-mismatch` for a probe of another model, and ModelError for files that are not
    as `probe export` wrote them (`medsiglip.probes.exchange.unpacked`).
    """
    from medsiglip.probes.exchange import unpacked

    given = path if isinstance(path, Sequence) and not isinstance(path, str | bytes) else [path]
    exchanged = unpacked(read_files([Path(one).expanduser() for one in given]))
    probe, about = exchanged.probe, exchanged.about
    wanted = about.get("name") if name is None else name
    require_name(wanted if isinstance(wanted, str) else "")
    require_space(str(wanted), probe, active_space(archive))
    summary = _checked_summary(about, str(wanted), probe.space, probe.labels)
    calibrations = _checked_calibrations(about, probe)
    summary["origin"] = "imported"
    known = _patients_of_same_rows(archive, summary.get("training_rows"))
    summary["patients"] = known
    if not known:
        told = (
            "The probe was imported, and whom it was trained on is not known here: figures on this archive "
            "may include patients that it has learned."
        )
        summary["warnings"] = [*summary.get("warnings", ()), told]
    version = keep_probe(archive, str(wanted), probe, summary)
    record = stored_probe(archive, f"{wanted}@{version}")
    for level, labels in calibrations.items():
        own = {
            label: (method, {**content, "fingerprint": probe_fingerprint(record)})
            for label, (method, content) in labels.items()
        }
        archive.index.calibrations.put(probe.space, f"probe:{wanted}", level, own, ())
    return show_probe(archive, f"{wanted}@{version}")


def _checked_summary(about: dict[str, Any], name: str, space: str, labels: tuple[str, ...]) -> dict[str, Any]:
    """What is kept of a probe beside its weights, if it is what a home keeps."""
    foreign = ModelError(
        "probe-file-foreign",
        f"{DESCRIPTION} does not say what a probe of an archive says (its level, its figures): it was made "
        "by another program, or edited.",
    )
    summary = about.get("summary")
    if not isinstance(summary, dict):
        raise foreign
    kept = {key: value for key, value in summary.items() if key not in (*_OF_PATIENTS, *_OF_HOME)}
    try:
        answer = ProbeAnswer.model_validate({**kept, "name": name, "space": space})
    except ValidationError:
        raise foreign from None
    if tuple(one.label for one in answer.labels) != labels:
        raise foreign
    return kept


def _patients_of_same_rows(archive: OpenedArchive, training_rows: object) -> list[str]:
    """The patients of a probe of this home that was trained on the same rows, if there is one."""
    for record in archive.index.probes.listed(all_versions=True):
        is_same = training_rows is not None and record.summary.get("training_rows") == training_rows
        if is_same and record.summary.get("patients"):
            return list(record.summary["patients"])
    return []


Calibrated = dict[str, dict[str, tuple[str, dict[str, Any]]]]
"""By level and label: the method of a calibration, and what is stored of it."""


def _checked_calibrations(about: dict[str, Any], probe: Probe) -> Calibrated:
    """The calibrations of a description, read once so that a wrong one is refused now."""
    from medsiglip.answers.calibrations import LabelCalibration
    from medsiglip.calibration.applied import CLASSES, Calibrations

    found: Calibrated = {}
    try:
        for one in about.get("calibrations", ()):
            level, label, method, content = (one[name] for name in ("level", "label", "method", "summary"))
            known = label in probe.labels or (probe.exclusive and label == CLASSES)
            if not known or level not in ("image", "series", "study") or not isinstance(method, str):
                raise ValueError(label)
            LabelCalibration(label=label, version=1, method=method, **content["figures"])
            found.setdefault(level, {})[label] = method, {**content, "fingerprint": ""}
        for labels in found.values():
            stored = {label: content for label, (_, content) in labels.items()}
            make = Calibrations.of_classes if probe.exclusive else Calibrations.of_labels
            make(probe.labels, stored, "")
    except (KeyError, TypeError, ValueError, AttributeError, ModelError):
        raise ModelError(
            "probe-file-foreign",
            f"{DESCRIPTION} holds a calibration that is none of this probe: it was edited. Export it again.",
        ) from None
    return found
