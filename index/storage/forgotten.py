"""Removing deleted studies from drafts, routing decisions, jobs and report texts, images from predictions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import dirname
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, or_, select, update

from medsiglip.index.catalogue.draft_schema import (
    SUPERSEDED_BY,
    draft_citations,
    draft_revisions,
    drafts,
    report_texts,
    route_decisions,
)
from medsiglip.index.catalogue.full_text.search_tables import purge_removed_terms
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.pacs.schema import pacs_deliveries
from medsiglip.index.catalogue.paths import shown_path
from medsiglip.index.catalogue.report_texts import write_texts
from medsiglip.index.catalogue.schema import studies
from medsiglip.index.catalogue.score_schema import predictions
from medsiglip.index.catalogue.service_schema import jobs

GONE = "[forgotten]"
# Of a draft's payload: the words of its generator that a person did not keep.
_EARLIER_WORDS = ("thinking", "text_without_context", "decisions")
_ABOUT_CASES = ("calibration", "evaluation", "pacs-pull", "pacs-sync", "predictions", "probe", "webhook")


def forget_drafts(connection: Connection, study_ids: Sequence[int]) -> int:
    """Delete the drafts, routing decisions, jobs and report texts of studies; returns the number of drafts.

    A draft of another study that cites one of them is deleted too, unless a person has edited or accepted it:
    then it stays without what it took from them.
    """

    def of_them(column: ColumnElement[int]) -> ColumnElement[bool]:
        return one_of(column, list(study_ids))

    own_uids = select(studies.c.study_instance_uid).where(of_them(studies.c.id))
    uids = list(connection.execute(own_uids).scalars())
    own = list(connection.execute(select(drafts.c.id).where(of_them(drafts.c.study_id))).scalars())
    citing = select(drafts.c.id, drafts.c.status).join(draft_citations).distinct()
    rows = connection.execute(citing.where(of_them(draft_citations.c.study_id))).all()
    untouched = [row.id for row in rows if row.status in ("draft", "rejected")]
    reports: dict[int, str] = {}
    for draft_id in {row.id for row in rows}.difference(own, untouched):
        reports |= _scrub(connection, draft_id, uids)
    if reports:
        write_texts(connection, reports, "accepted")
    deleted = sorted({*own, *untouched})
    _delete_drafts(connection, deleted)
    for table in (draft_citations, route_decisions, report_texts):
        connection.execute(delete(table).where(of_them(table.c.study_id)))
    purge_removed_terms(connection)
    about = one_of(jobs.c.parameters["study_instance_uid"].as_string(), uids)
    connection.execute(delete(jobs).where(or_(about, one_of(jobs.c.id, deleted))))
    return len(deleted)


def forget_paths_in_jobs(connection: Connection, paths: Collection[str]) -> None:
    """Remove the list entries that name one of these files from the results of jobs."""
    by_folder: dict[str, set[str]] = defaultdict(set)
    for path in map(shown_path, paths):
        by_folder[dirname(path)].add(path)
    statement = select(jobs.c.id, jobs.c.result).where(jobs.c.kind == "ingest", jobs.c.result.is_not(None))
    for job_id, result in connection.execute(statement).all():
        kept = _without(result, by_folder)
        if kept != result:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(result=kept))


def still_there(connection: Connection, column: ColumnElement[str], names: Collection[str]) -> frozenset[str]:
    """Those of the names that a column of patients or studies has: what was deleted while a probe was
    trained, or scores were calibrated, is not to come back with it.
    """
    return frozenset(connection.execute(select(column).where(one_of(column, list(names)))).scalars())


def forget_in_jobs(
    connection: Connection, study_instance_uids: Collection[str], patient_keys: Collection[str]
) -> None:
    """Remove cases from what jobs were asked about labelled and scored cases, and from what they answered."""
    gone = [*study_instance_uids, *patient_keys]
    if not gone:
        return
    asked = select(jobs.c.id).where(jobs.c.kind.in_(_ABOUT_CASES))
    columns = (jobs.c.parameters, jobs.c.result, jobs.c.error)
    for job_id in connection.execute(asked).scalars().all():  # one by one: some list thousands of cases
        row = connection.execute(select(*columns).where(jobs.c.id == job_id)).mappings().one()
        kept = {name: without_cases(value, gone) for name, value in row.items()}
        if kept != dict(row):
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(kept))


def of_cases_there(connection: Connection, value: Any) -> Any:
    """JSON without what it says of studies that were deleted while it was made."""
    named = frozenset(_studies_of(value))
    return without_cases(value, named - still_there(connection, studies.c.study_instance_uid, named))


def _studies_of(value: Any) -> Iterator[str]:
    """The UIDs of the studies that objects of JSON are about."""
    if isinstance(value, Mapping):
        uid = value.get("study_instance_uid")
        if isinstance(uid, str):
            yield uid
    members = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list | tuple):
        for one in members:
            yield from _studies_of(one)


def without_cases(value: Any, names: Collection[str]) -> Any:
    """JSON without the objects of studies, by UID, and with `[forgotten]` where a text names one of them, or
    one of the keys of patients that are among the `names`.
    """
    gone = frozenset(names)
    return _replaced(_left(value, gone), _naming(gone)) if gone else value


def _left(value: Any, gone: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _left(member, gone) for name, member in value.items()}
    if isinstance(value, list | tuple):
        theirs = [isinstance(one, Mapping) and one.get("study_instance_uid") in gone for one in value]
        return [_left(one, gone) for one, is_theirs in zip(value, theirs, strict=True) if not is_theirs]
    return value


def _naming(names: Iterable[str]) -> re.Pattern[str]:
    """What finds UIDs and keys as a whole, and not as the beginning of a longer one."""
    return re.compile("|".join(rf"(?<![\w.]){re.escape(name)}(?!\w|\.\w)" for name in names))


def _without(value: Any, by_folder: Mapping[str, Collection[str]]) -> Any:
    if isinstance(value, list):
        return [_without(one, by_folder) for one in value if not _names(one, by_folder)]
    if isinstance(value, dict):
        return {key: _without(one, by_folder) for key, one in value.items()}
    return value


def _names(entry: Any, by_folder: Mapping[str, Collection[str]]) -> bool:
    """Whether an entry of a list is about one of the paths. A sentence is compared only with the paths of
    those folders that it names.
    """
    if isinstance(entry, str):
        return any(path in entry for folder, paths in by_folder.items() if folder in entry for path in paths)
    path = entry.get("path") if isinstance(entry, dict) else None
    return isinstance(path, str) and path in by_folder.get(dirname(path), ())


def _delete_drafts(connection: Connection, draft_ids: Sequence[str]) -> None:
    for table in (draft_citations, draft_revisions, pacs_deliveries):
        connection.execute(delete(table).where(one_of(table.c.draft_id, draft_ids)))
    connection.execute(delete(drafts).where(one_of(drafts.c.id, draft_ids)))


def _scrub(connection: Connection, draft_id: str, uids: Collection[str]) -> dict[int, str]:
    """Remove studies from a draft that a person edited or accepted; returns the report that its study is to
    have instead, by row id, if any. The generator's earlier wording may paraphrase them, so it is deleted.
    """
    row = connection.execute(select(drafts).where(drafts.c.id == draft_id)).one()
    text, payload = without_studies(row.text, row.payload, uids)
    kept = {name: value for name, value in payload.items() if name not in _EARLIER_WORDS}
    connection.execute(update(drafts).where(drafts.c.id == draft_id).values(text=text, payload=kept))
    steps = draft_revisions.c.draft_id == draft_id
    connection.execute(update(draft_revisions).where(steps).values(text=None, difference=None))
    last = (steps, draft_revisions.c.number == row.revision)
    connection.execute(update(draft_revisions).where(*last).values(text=text))
    if text != row.text and row.status == "accepted" and row.payload.get(SUPERSEDED_BY) is None:
        return {row.study_id: text}
    return {}


def without_studies(
    text: str, payload: Mapping[str, Any], uids: Collection[str]
) -> tuple[str, dict[str, Any]]:
    """A draft's text and payload without studies.

    Every object with the UID of one is left out. Where a text names one, quotes its report, or has a sentence
    based on it, that part becomes `[forgotten]`; the checks of a changed text are removed, as they refer to
    positions in it.
    """
    named = re.compile("|".join(rf"(?<![\d.]){re.escape(uid)}(?!\d|\.\d)" for uid in uids))
    pruning = _Pruning(frozenset(uids), named)
    kept: dict[str, Any] = pruning.pruned(payload)
    quoted = sorted(pruning.quoted, key=len, reverse=True)
    pattern = re.compile("|".join([*(re.escape(part) for part in quoted), named.pattern]))
    kept_text = pattern.sub(GONE, text)
    if kept_text != text and "checks" in kept:
        kept["checks"] = []
    return kept_text, _replaced(kept, pattern)


@dataclass(frozen=True, slots=True)
class _Pruning:
    """Leaves out the objects of studies, and gathers what texts may quote of them."""

    uids: frozenset[str]
    named: re.Pattern[str]
    quoted: set[str] = field(default_factory=set)

    def pruned(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            if value.get("study_instance_uid") in self.uids:
                self._quote(value.get("text"))
                return None
            if any(self.named.search(str(source)) for source in value.get("sources") or ()):
                self._quote(value.get("sentence"))
            return {name: self.pruned(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            members = [(member, self.pruned(member)) for member in value]
            left = [kept for member, kept in members if kept is not None or member is None]
            return [one for one in left if not (isinstance(one, str) and self.named.search(one))]
        return value

    def _quote(self, text: object) -> None:
        # Fewer words are a stock phrase, which is no quotation.
        if isinstance(text, str) and len(text.split()) >= 4:
            self.quoted.add(text.strip())


def _replaced(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(GONE, value)
    if isinstance(value, Mapping):
        return {name: _replaced(member, pattern) for name, member in value.items()}
    if isinstance(value, list):
        return [_replaced(member, pattern) for member in value]
    return value


def forget_predictions(connection: Connection, gone: Sequence[Row[*tuple[Any, ...]]]) -> None:
    """Delete what probes say of images that are being deleted (`id`, `series_id`, `study_id` of each), and of
    their series and studies, which are others without them.
    """
    study_ids = sorted({row.study_id for row in gone})
    row_ids = {row.id for row in gone} | {row.series_id for row in gone} | set(study_ids)
    # No two tables share an id.
    theirs = and_(one_of(predictions.c.study_id, study_ids), one_of(predictions.c.row_id, sorted(row_ids)))
    connection.execute(delete(predictions).where(theirs))
