"""Units of new files, together with what the index already holds of the same series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ingest.deidentify import SecretKey
from ingest.header import Header
from ingest.plan import PlanOptions, Unit, plan, plan_series
from ingest.triage import is_as_recorded
from ingest.walk import FoundFile

if TYPE_CHECKING:
    from index.case_index import CaseIndex


def plan_with_index(
    headers: Sequence[Header], index: CaseIndex, key: SecretKey, options: PlanOptions
) -> tuple[list[Unit], list[str]]:
    """Plan units; a series that gained files is planned anew from all its files and replaces what the index
    holds.

    Where a file of such a series is gone, the new files are added beside the old images, with a warning.
    """
    units, warnings = [], []
    for unit in plan(headers, options):
        first = unit.headers[0]
        held = _held_headers(index, first, {h.path for h in unit.headers}, key) if unit.whole_series else []
        if held is None:
            warnings.append(f"{first.series_instance_uid}: {_lost(key)}")
        elif held:
            unit = plan_series([*held, *unit.headers], options, replace_series=True)
        units.append(_without_places(unit))
    return units, warnings


def _lost(key: SecretKey) -> str:
    if key.phi == "strict":
        return (
            "this home keeps no paths, so earlier files of this series outside the given folders were not "
            "read again and the new ones were drawn alone; ingest all folders of the series together."
        )
    return "files of this series are gone; the new ones were drawn alone."


def _without_places(unit: Unit) -> Unit:
    """Workers draw what the slices say: the places of thousands of frames need not travel."""
    if all(len(header.frames) < 2 for header in unit.headers):
        return unit
    return replace(unit, headers=tuple(replace(header, frames=()) for header in unit.headers))


def _held_headers(index: CaseIndex, first: Header, new: set[str], key: SecretKey) -> list[Header] | None:
    """Headers of the files that the index holds of a series, one for each instance; None if an instance has
    no file any more.
    """
    from ingest.scan import scan_file

    found: dict[tuple[str, str], Header] = {}
    for record in index.series_files(first.series_instance_uid):
        identity = (record.sop_instance_uid or "", record.pixel_hash or "")
        if identity in found or record.path in new or not is_as_recorded(record, key):
            continue
        scanned = scan_file(FoundFile(record.path, record.size, record.mtime_ns), key)
        if isinstance(scanned, Header) and scanned.study_instance_uid == first.study_instance_uid:
            found[identity] = scanned
    held = index.series_instances(first.study_instance_uid, first.series_instance_uid)
    return list(found.values()) if held <= found.keys() else None
