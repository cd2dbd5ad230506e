"""The probes that a home keeps: by name, with their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.figures import Probe as ProbeAnswer
from medsiglip.answers.figures import ProbeList, ProbeSummary
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.names import is_name

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


def keep_probe(archive: OpenedArchive, name: str, probe: Probe, summary: dict[str, Any]) -> None:
    """Write a probe's file, then its row, in place of a former probe of that name."""
    from medsiglip.index.records import ProbeRecord
    from medsiglip.index.vectors import make_folder

    token = archive.index.announce("probes/*{token}*")
    record = ProbeRecord(name, probe.space, f"probes/{name}~{token}.npz", summary)
    make_folder(archive.home / "probes")
    probe.save(archive.home / record.file)
    archive.index.probes.put(record, token)


def list_probes(archive: OpenedArchive) -> ProbeList:
    """The probes of the home."""
    rows = []
    for record in archive.index.probes.listed():
        labels = tuple(label["label"] for label in record.summary["labels"])
        rows.append(_described(ProbeSummary, record, labels=labels))
    return ProbeList(probes=tuple(rows))


def show_probe(archive: OpenedArchive, name: str) -> ProbeAnswer:
    """One probe with its out-of-fold figures."""
    return _described(ProbeAnswer, stored_probe(archive, name))


def delete_probe(archive: OpenedArchive, name: str) -> RemovedName:
    """Remove a probe for good."""
    record = stored_probe(archive, name)
    archive.index.probes.remove(name)
    return RemovedName(name=record.name, removed=True)


def _described(kind: type[Kind], record: ProbeRecord, **others: Any) -> Kind:
    return kind.model_validate({**record.summary, "name": record.name, "space": record.space, **others})


def stored_probe(archive: OpenedArchive, name: str) -> ProbeRecord:
    """The record of a probe of the home, or ServiceError `unknown-probe`."""
    for record in archive.index.probes.listed():
        if record.name == name:
            return record
    known = ", ".join(record.name for record in archive.index.probes.listed()) or "none"
    raise ServiceError("unknown-probe", f"there is no probe {name!r} in this home: the probes are {known}.")


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
