"""Units of new files, together with the files of the same series that the index holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.run.placement import of_patient
from medsiglip.ingest.run.triage import Identity, is_as_recorded
from medsiglip.ingest.units.plan import PlanOptions, Unit, plan, plan_series

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex


def plan_with_index(
    headers: Sequence[Header], index: CaseIndex, key: SecretKey, options: PlanOptions
) -> tuple[list[Unit], list[str]]:
    """Plan units; a series that gained files is planned again from all its files and replaces what the index
    holds. One of which it holds nothing yet draws anew what another run adds of its own files meanwhile.

    If a file of such a series is gone, the new files are added beside the old images, with a warning.
    """
    units, warnings = [], []
    for unit in plan(headers, options):
        own = {header.path for header in unit.headers}
        held = _Held(index, unit.headers[0], own, key) if unit.whole_series else None
        if held is not None and held.is_incomplete:
            warnings.append(f"{unit.headers[0].series_instance_uid}: {_gone_files(key)}")
        elif held is not None:
            whole = unit
            if held.headers:
                whole = plan_series([*held.headers, *unit.headers], options)
            whole = replace(whole, replace_series=True, new=frozenset(own))
            unit = replace(whole, beside=held.beside, replaced=held.identities)
        units.append(_without_places(unit))
    return units, warnings


def plan_anew(
    first: Header, own: Collection[str], index: CaseIndex, key: SecretKey, options: PlanOptions
) -> Unit | None:
    """A unit of all files that the index holds of the series of `first` and that are rendered together with
    it; None if one of them is gone. It counts as new where `own` names one of its files.
    """
    patients = index.patients_of([first.study_instance_uid])
    first = of_patient(first, patients.get(first.study_instance_uid, first.patient_key))
    held = _Held(index, first, (), key)
    if held.is_incomplete or not held.headers:
        return None
    unit = plan_series(held.headers, options, replace_series=True)
    new = frozenset(header.path for header in held.headers if header.path in own)
    return _without_places(replace(unit, beside=held.beside, replaced=held.identities, new=new))


def _gone_files(key: SecretKey) -> str:
    if key.phi == "strict":
        return (
            "this home keeps no paths, so earlier files of this series outside the given folders were not "
            "read again and the new ones were rendered alone; ingest all folders of the series together."
        )
    return "files of this series are gone; the new ones were rendered alone."


def _without_places(unit: Unit) -> Unit:
    """Without the places of frames: workers do not need them, and there may be thousands."""
    if all(len(header.frames) < 2 for header in unit.headers):
        return unit
    return replace(unit, headers=tuple(replace(header, frames=()) for header in unit.headers))


class _Held:
    """What the index holds of the series of a file, but for the files `new`: `headers` of those to render
    together with it, one for each instance; `beside` are instances that are rendered by themselves.

    `is_incomplete` means that the file of an instance is gone.
    """

    def __init__(self, index: CaseIndex, first: Header, new: Collection[str], key: SecretKey) -> None:
        from medsiglip.ingest.scan.scan import scan_file

        found: dict[Identity, Header | None] = {}
        records = index.files.of_series(first.series_instance_uid)
        for record in sorted(records, key=lambda record: record.path):
            identity = (record.sop_instance_uid or "", record.pixel_hash or "")
            if found.get(identity) or record.path in new or not is_as_recorded(record, key):
                continue
            scanned = scan_file(FoundFile(record.path, record.size, record.mtime_ns), key)
            if isinstance(scanned, Header) and scanned.study_instance_uid == first.study_instance_uid:
                together = _together(scanned) == _together(first)
                found[identity] = of_patient(scanned, first.patient_key) if together else None
        held = index.instances.of_series(first.study_instance_uid, first.series_instance_uid)
        self.identities = frozenset(identity for identity, header in found.items() if header is not None)
        self.headers = [header for header in found.values() if header is not None]
        self.beside = frozenset(identity for identity, header in found.items() if header is None)
        self.is_incomplete = not held <= found.keys()


def _together(header: Header) -> str:
    """A key for the files of a series that are rendered as one unit."""
    return "slide" if header.is_slide else "volume" if header.is_volume else ""
