"""The audit trail: what is recorded in it, and how it is listed, exported and verified.

`ACTIONS` are the verbs. An event is written before the answer that shows a case is sent, and one that cannot
be written fails the request, so that nothing is shown unaudited. The command line records what changes or
exports cases; whoever can run it on a home can read its files anyway. Studies have the UIDs of the archive
(`medsiglip.api.archive.queries.stored_study_uid`).
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.files import output_file, parquet_writer
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.index.service.audit_log import AuditEvent, AuditFilter

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.service.audit_log import ChainedEvent

ACTIONS = {
    "view": "a study, its images or their previews were shown",
    "list": "studies were listed",
    "search": "studies were found by a query",
    "classify": "a study of the archive was scored",
    "predict": "a probe scored studies of the archive",
    "embed": "embeddings of stored images were given out",
    "ingest": "files were handed in or read from a folder",
    "label": "labels were given to cases",
    "collect": "cases were put into a collection, or taken out",
    "train": "a probe was trained on cases",
    "calibrate": "scores were calibrated on cases",
    "remove-calibration": "the calibrations of something that scores were removed",
    "map": "the cases were laid out in a map, or its points were given out",
    "evaluate": "figures of cases were computed, or a page of them was shown",
    "draft": "a report was drafted",
    "report-view": "a draft was shown",
    "report-decide": "a draft was accepted, edited or rejected",
    "report-import": "report texts were given to cases",
    "route": "a route was made, changed or removed",
    "export": "cases were written to a file",
    "backup": "a copy of the archive was made",
    "restore": "the archive was made from a backup",
    "recover": "the home was made to fit an older catalogue",
    "pacs-connection": "a PACS was added, changed or removed",
    "pacs-find": "a PACS was asked for studies",
    "pacs-pull": "studies were ordered from a PACS",
    "pacs-sync": "the studies of a PACS were compared with those that are here",
    "pacs-fetch": "the files of a study were fetched again",
    "pacs-release": "files that a PACS can give again were deleted",
    "pacs-send": "a document of a draft was sent to a PACS",
    "receive": "a PACS sent instances of a study",
    "forget": "a patient or a study was removed",
    "versions-remain": "a bucket kept versions of files of what was removed",
    "reembed": "images were embedded anew, or with another model",
    "drop-space": "the vectors of a former model were deleted",
    "sign-in": "a session of a browser began",
    "sign-out": "a session of a browser was ended",
    "create-key": "an API key was made",
    "revoke-key": "an API key was ended",
    "rotate-secret": "the patients of the home got other keys",
    "audit-export": "the audit trail was read",
}
COLUMNS = ("sequence", "at", "actor", "action", "studies", "details", "request_id", "previous_hash", "hash")
_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})", re.ASCII)
_CHUNK = 10_000


def record_local(index: CaseIndex, action: str, studies: Sequence[str] = (), **details: Any) -> None:
    """Record that the user of this process did `action`, at the command line or when a server started."""
    event = AuditEvent(local_actor(), checked_action(action), tuple(dict.fromkeys(studies)), details)
    index.audit.append([event])


@cache
def local_actor() -> str:
    """`local:<user>` of this process, according to the operating system, for anybody may set the
    environment.
    """
    try:
        import pwd

        return f"local:{pwd.getpwuid(os.getuid()).pw_name}"
    except (ImportError, KeyError):
        uid = getattr(os, "getuid", lambda: "unknown")()
        return f"local:{uid}"


def checked_action(action: str) -> str:
    """The action; raises ValueError for one that `ACTIONS` lacks."""
    if action not in ACTIONS:
        raise ValueError(f"{action!r} is no action of the audit trail")
    return action


def checked_filter(*, actor: str | None, action: str | None, study: str | None) -> AuditFilter:
    """Which events are asked for; raises ServiceError `unknown-action` for an action that there is not."""
    if action is not None and action not in ACTIONS:
        raise ServiceError(
            "unknown-action", f"there is no action {excerpt(action)}: choose one of {', '.join(ACTIONS)}."
        )
    return AuditFilter(actor, action, study)


def verify_trail(archive: OpenedArchive, head: str | None = None) -> dict[str, Any]:
    """Check the chain of hashes, and, with the `head` of an earlier answer (`SEQUENCE:HASH`), that the trail
    still holds what it held then. Raises ServiceError `bad-head`.
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


def list_trail(archive: OpenedArchive, *, last: int, study: str | None = None) -> dict[str, Any]:
    """The last events, the oldest first, or the last that concern a study."""
    trail = archive.index.audit
    if study is None:
        after = max(0, trail.head()[0] - last)
        return {"events": [event_row(one) for one in trail.events(after=after)]}
    uid = stored_study_uid(archive, study)
    return {"events": [event_row(one) for one in trail.events() if uid in one.event.studies][-last:]}


def export_trail(archive: OpenedArchive, out: str | Path) -> dict[str, Any]:
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

    types = {"sequence": pa.int64(), "studies": pa.list_(pa.string())}
    schema = pa.schema([(column, types.get(column, pa.string())) for column in COLUMNS])
    count = 0
    with parquet_writer(path, schema) as writer:
        for chunk in _chunks(rows):
            cells = [{**row, "details": json.dumps(row["details"], sort_keys=True)} for row in chunk]
            writer.write_table(pa.Table.from_pylist(cells, schema))
            count += len(cells)
    return count


def _chunks(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk
