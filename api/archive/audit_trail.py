"""The audit trail is listed, exported and verified."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.auditing import record_local
from medsiglip.api.archive.files import output_file
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive
    from medsiglip.index.service.audit_log import ChainedEvent

COLUMNS = ("sequence", "at", "actor", "action", "studies", "details", "request_id", "previous_hash", "hash")
_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})", re.ASCII)
_PORTION = 10_000


def verify_trail(archive: Archive, head: str | None = None) -> dict[str, Any]:
    """Compute the chain of hashes anew; with `head` (`SEQUENCE:HASH`, as an earlier answer gave it), that the
    trail still holds what it held then. Raises ServiceError `bad-head`.
    """
    known = None
    if head is not None:
        matched = _HEAD.fullmatch(head)
        if matched is None:
            raise ServiceError(
                "bad-head", "a head is SEQUENCE:HASH, as `audit verify` prints it: copy it whole."
            )
        known = int(matched[1]), matched[2]
    found = archive.index.audit.verify(known_head=known)
    return {
        "ok": found.ok,
        "events": found.events,
        "head": f"{found.events}:{found.head}" if found.ok else None,
        "broken_at": found.broken_at,
    }


def list_trail(archive: Archive, *, last: int, study: str | None = None) -> dict[str, Any]:
    """The last events, the oldest first, or the last that concern a study."""
    from medsiglip.api.archive.queries import stored_study_uid

    trail = archive.index.audit
    if study is None:
        after = max(0, trail.head()[0] - last)
        return {"events": [event_row(one) for one in trail.events(after=after)]}
    uid = stored_study_uid(archive, study)
    return {"events": [event_row(one) for one in trail.events() if uid in one.event.studies][-last:]}


def export_trail(archive: Archive, out: str | Path) -> dict[str, Any]:
    """Write all events to `out`: .jsonl, .csv or .parquet. Raises ServiceError `bad-suffix`."""
    file = Path(out)
    writers = {".jsonl": _write_lines, ".csv": _write_csv, ".parquet": _write_parquet}
    writer = writers.get(file.suffix.lower())
    if writer is None:
        raise ServiceError("bad-suffix", f"{file} must end in .jsonl, .csv or .parquet: rename it.")
    trail = archive.index.audit
    path = output_file(file)
    record_local(archive.index, "audit-export")
    count = writer(path, (event_row(one) for one in trail.events()))
    return {"path": str(path), "events": count}


def event_row(one: ChainedEvent) -> dict[str, Any]:
    """An event as JSON, with all that its hash covers."""
    event = one.event
    return {
        "sequence": one.sequence,
        "at": event.at,
        "actor": event.actor,
        "action": event.action,
        "studies": list(event.studies),
        "details": dict(event.details),
        "request_id": event.request_id,
        "previous_hash": one.previous_hash,
        "hash": one.hash,
    }


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row) + "\n")
            count += 1
    return count


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for row in rows:
            studies = " ".join(row["studies"])
            cells = {**row, "studies": studies, "details": json.dumps(row["details"], sort_keys=True)}
            writer.writerow([cells[column] for column in COLUMNS])
            count += 1
    return count


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    import pyarrow as pa

    from medsiglip.api.archive.parquet import writing

    types = {"sequence": pa.int64(), "studies": pa.list_(pa.string())}
    schema = pa.schema([(column, types.get(column, pa.string())) for column in COLUMNS])
    count = 0
    with writing(path, schema) as writer:
        for portion in _portions(rows):
            cells = [{**row, "details": json.dumps(row["details"], sort_keys=True)} for row in portion]
            writer.write_table(pa.Table.from_pylist(cells, schema))
            count += len(cells)
    return count


def _portions(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(rows)
    while portion := list(islice(remaining, _PORTION)):
        yield portion
