"""The probes that a home keeps: by name and version, with their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.figures import Probe as ProbeAnswer
from medsiglip.answers.figures import ProbeList, ProbeSummary
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.names import is_name, why_not

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import ProbeRecord
    from medsiglip.probes.probe import Probe

Kind = TypeVar("Kind", ProbeAnswer, ProbeSummary)


def require_name(name: str) -> None:
    """Raise ServiceError `bad-probe-name` unless a probe may be called so."""
    if not is_name(name):
        raise ServiceError(
            "bad-probe-name",
            f"{excerpt(name)} cannot name a probe: use letters, digits, dots, hyphens and underscores, at "
            "most 64.",
        )


def keep_probe(archive: OpenedArchive, name: str, probe: Probe, summary: dict[str, Any]) -> int:
    """Write a probe's file, then its row, as the next version of its name; returns its version."""
    from medsiglip.index.records import ProbeRecord
    from medsiglip.index.vectors import make_folder

    token = archive.index.announce("probes/*{token}*")
    record = ProbeRecord(name, probe.space, f"probes/{name}~{token}.npz", summary)
    make_folder(archive.home / "probes")
    probe.save(archive.home / record.file)
    return archive.index.probes.put(record, token)


def list_probes(archive: OpenedArchive, *, all_versions: bool = False) -> ProbeList:
    """The probes of the home: the newest version of each or, with `all_versions`, every one."""
    rows = []
    for record in archive.index.probes.listed(all_versions=all_versions):
        labels = tuple(label["label"] for label in record.summary["labels"])
        rows.append(_described(ProbeSummary, record, labels=labels))
    return ProbeList(probes=tuple(rows))


def show_probe(archive: OpenedArchive, name: str) -> ProbeAnswer:
    """One probe with its out-of-fold figures: the newest version, or that of `NAME@2`."""
    record = stored_probe(archive, name)
    return _described(ProbeAnswer, record, predictions=archive.index.predictions.count(record))


def delete_probe(archive: OpenedArchive, name: str) -> RemovedName:
    """Remove a probe for good, with all its versions or, given `NAME@2`, that version alone. Its stored
    predictions go with it.
    """
    record = stored_probe(archive, name)
    archive.index.probes.remove(record.name, record.version if "@" in name else None)
    return RemovedName(name=name, removed=True)


def _described(kind: type[Kind], record: ProbeRecord, **others: Any) -> Kind:
    named = {"name": record.name, "version": record.version, "space": record.space}
    return kind.model_validate({**record.summary, **named, **others})


def stored_probe(archive: OpenedArchive, name: str) -> ProbeRecord:
    """The record of a probe of the home, `NAME` or `NAME@2`, or ServiceError `unknown-probe`."""
    base, at, version = name.partition("@")
    if why_not("probe", name) is None:
        record = archive.index.probes.find(base, int(version) if at else None)
        if record is not None:
            return record
    records = archive.index.probes.listed(all_versions=True)
    versions = ", ".join(str(one.version) for one in reversed(records) if one.name == base)
    if versions:
        raise ServiceError(
            "unknown-probe",
            f"the probe {base} has no version {excerpt(version)}: its versions are {versions}.",
        )
    known = ", ".join(dict.fromkeys(record.name for record in records)) or "none"
    raise ServiceError(
        "unknown-probe", f"there is no probe {excerpt(name)} in this home: the probes are {known}."
    )


def loaded_probe(archive: OpenedArchive, record: ProbeRecord) -> Probe:
    """The weights of a probe of the home."""
    from medsiglip.probes.probe import Probe

    return Probe.load(archive.home / record.file)


def active_space(archive: OpenedArchive) -> str:
    """The name of the space in which vectors are searched, and probes trained."""
    return archive.searchable_space.name


def require_space(name: str, probe: Probe, space: str) -> None:
    """Raise ServiceError `space-mismatch` for a probe of another space."""
    if probe.space != space:
        raise ServiceError(
            "space-mismatch",
            f"probe {name} was trained in space {probe.space}, and this archive's vectors are in {space}: "
            "train it again here.",
        )
