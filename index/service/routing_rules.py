"""Routing rules as rows, and their decisions: a study is sent once for each rule, together with its job."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.draft_schema import route_decisions, routes
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.report_texts import study_ids
from medsiglip.index.catalogue.rows import record_of
from medsiglip.index.catalogue.schema import home, images, studies
from medsiglip.index.errors import CatalogError
from medsiglip.index.service import routed_jobs
from medsiglip.index.service.job_submission import insert_jobs

Outcome = Literal["sent", "held"]


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A routing rule as the catalogue holds it. `rule` is JSON; the rule applies to images after
    `since_image_id`, 0 for the whole archive, and was last evaluated up to `seen_image_id`.
    """

    name: str
    rule: Mapping[str, Any]
    enabled: bool
    priority: int
    since_image_id: int
    seen_image_id: int
    created_at: datetime
    updated_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """How many studies may be sent in any hour, in any day of 24 hours, and ever; None means no limit."""

    per_hour: int | None = None
    per_day: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule decided about a study: `sent` with its job, or `held` back for a reason."""

    route: str
    study_instance_uid: str
    outcome: Outcome
    reason: str | None
    job_id: str | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Candidates:
    """Studies that a rule has to evaluate, those held back first; `upto` is the newest image at that time."""

    study_instance_uids: tuple[str, ...]
    upto: int


@dataclass(frozen=True, slots=True)
class RoutedJob:
    """The job to submit for each study that is sent; the study's UID is added to its parameters."""

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


class RoutingRuleStore:
    """The routing rules of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, name: str, rule: Mapping[str, Any], *, enabled: bool, priority: int, whole_archive: bool
    ) -> RoutingRule:
        """Add a rule, or change the one of this name, which then evaluates again all that is not yet sent.

        A rule applies to studies that get images from now on, or to the `whole_archive`. One that comes back
        after it was removed keeps what it has sent. Jobs that wait for a rule that is disabled are dropped.
        """
        with self._database.write() as connection:
            now = now_of(connection)
            former = _find(connection, name, removed=True)
            newest = _newest_image(connection)
            since = 0 if whole_archive else newest
            if (
                former is not None
                and former.removed_at is None
                and not whole_archive
                and former.since_image_id
            ):
                since = former.since_image_id
            values = {
                "rule": dict(rule),
                "enabled": enabled,
                "priority": priority,
                "since_image_id": since,
                "seen_image_id": since,
                "updated_at": now,
                "removed_at": None,
            }
            if former is None or former.removed_at is not None:
                values["created_at"] = now
            if former is None:
                connection.execute(insert(routes).values(name=name, **values))
            else:
                connection.execute(update(routes).where(routes.c.name == name).values(**values))
            if not enabled:
                routed_jobs.drop_waiting(connection, name, now)
            return _needed(connection, name)

    def get(self, name: str) -> RoutingRule:
        """One rule; raises `CatalogError` `unknown-route`."""
        with self._database.read() as connection:
            return _needed(connection, name)

    def listed(self) -> list[RoutingRule]:
        """All rules, by descending priority."""
        statement = select(routes).where(routes.c.removed_at.is_(None))
        statement = statement.order_by(routes.c.priority.desc(), routes.c.name)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(statement)]

    def remove(self, name: str) -> int:
        """Remove a rule; the drafts from it stay, and its jobs that wait are dropped. Returns how many.

        What it has sent is remembered, so that a rule of the same name does not send it again. Raises
        `CatalogError` `unknown-route`.
        """
        with self._database.write() as connection:
            _needed(connection, name)
            now = now_of(connection)
            dropped = routed_jobs.drop_waiting(connection, name, now)
            routed_jobs.release_held(connection, name)
            gone = {"removed_at": now, "updated_at": now, "enabled": False, "rule": {}}
            connection.execute(update(routes).where(routes.c.name == name).values(**gone))
            return dropped

    def resend_failed(self, rule: RoutingRule, job: RoutedJob, *, only_due: bool = False) -> int:
        """Order again the drafts of a rule whose jobs failed, or those of them that are due by themselves;
        returns how many. Raises `CatalogError` `unknown-route`.
        """
        with self._database.write() as connection:
            _needed(connection, rule.name)
            due_at = now_of(connection) if only_due else None
            given = (job.kind, job.parameters, rule.priority, due_at)
            return routed_jobs.resend_failed(connection, rule.name, *given)

    def drafts(self, name: str, standing: routed_jobs.Standing, limit: int) -> list[routed_jobs.RoutedDraft]:
        """The drafts of a rule that wait or that failed, the oldest first."""
        with self._database.read() as connection:
            return routed_jobs.routed_drafts(connection, name, standing, limit)

    def standing_counts(self) -> dict[tuple[str, routed_jobs.Standing], int]:
        """Number of drafts that wait and that failed, by rule."""
        with self._database.read() as connection:
            return routed_jobs.standing_counts(connection)

    def candidates(self, name: str, *, again: bool = False) -> Candidates:
        """The studies that the rule has not sent: those held back, then those with images that it has not
        seen, or, with `again`, with any image that it applies to.
        """
        with self._database.read() as connection:
            rule = _needed(connection, name)
            upto = _newest_image(connection)
            mine = and_(route_decisions.c.study_id == studies.c.id, route_decisions.c.route == name)
            held = (
                select(studies.c.study_instance_uid)
                .join(route_decisions, mine)
                .where(route_decisions.c.outcome == "held")
                .order_by(route_decisions.c.decided_at, studies.c.id)
            )
            first = rule.since_image_id if again else rule.seen_image_id
            # By image ids, so that the cost grows with the new images and not with the archive.
            with_new_images = select(images.c.study_id).where(images.c.id > first, images.c.id <= upto)
            undecided = ~select(route_decisions.c.study_id).where(mine).exists()
            new = select(studies.c.study_instance_uid).where(studies.c.id.in_(with_new_images), undecided)
            found = list(connection.execute(held).scalars())
            found += connection.execute(new.order_by(studies.c.id)).scalars()
        return Candidates(tuple(found), upto)

    def decide(
        self,
        rule: RoutingRule,
        candidates: Candidates,
        chosen: Sequence[str],
        job: RoutedJob,
        budget: Budget | None = None,
    ) -> list[Decision]:
        """Send the `chosen` of the candidates as far as the budget allows, and hold back the rest.

        A study that was sent or deleted meanwhile is left out; one that was held back and is no longer chosen
        is released. Raises `CatalogError` `route-changed` if the rule was changed since it was read.
        """
        with self._database.write() as connection:
            if _needed(connection, rule.name).updated_at != rule.updated_at:
                raise CatalogError(
                    "route-changed", f"The route {rule.name} was changed meanwhile; evaluate it again."
                )
            decisions = _decide(connection, rule, chosen, job, budget or Budget())
            _release(connection, rule.name, set(candidates.study_instance_uids).difference(chosen))
            mark = update(routes).where(routes.c.name == rule.name, routes.c.seen_image_id < candidates.upto)
            connection.execute(mark.values(seen_image_id=candidates.upto))
            return decisions

    def decisions(self, name: str, outcome: Outcome | None = None) -> list[Decision]:
        """The decisions of a rule, oldest first."""
        statement = _DECISION.where(route_decisions.c.route == name)
        if outcome is not None:
            statement = statement.where(route_decisions.c.outcome == outcome)
        with self._database.read() as connection:
            return [Decision(*row) for row in connection.execute(statement)]

    def counts(self) -> dict[tuple[str, str], int]:
        """Number of decisions by rule and outcome."""
        grouped = (route_decisions.c.route, route_decisions.c.outcome)
        statement = select(*grouped, func.count()).group_by(*grouped)
        with self._database.read() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(statement)}


_DECISION = (
    select(
        route_decisions.c.route,
        studies.c.study_instance_uid,
        route_decisions.c.outcome,
        route_decisions.c.reason,
        route_decisions.c.job_id,
        route_decisions.c.decided_at,
    )
    .join(studies, route_decisions.c.study_id == studies.c.id)
    .order_by(route_decisions.c.decided_at, studies.c.id)
)


def _decide(
    connection: Connection, rule: RoutingRule, chosen: Sequence[str], job: RoutedJob, budget: Budget
) -> list[Decision]:
    now = now_of(connection)
    remaining = _remaining(connection, rule.name, budget, now)
    ids, sent, held = _standing(connection, rule.name, chosen)
    waiting = [uid for uid in dict.fromkeys(chosen) if uid in ids and ids[uid] not in sent]
    full, room = min(remaining.items(), key=lambda one: one[1], default=("", len(waiting)))
    going, kept = waiting[: max(room, 0)], waiting[max(room, 0) :]
    parameters = [{**job.parameters, "study_instance_uid": uid} for uid in going]
    job_ids = insert_jobs(connection, job.kind, parameters, priority=rule.priority)
    decisions = [
        Decision(rule.name, uid, "sent", None, job_id, now)
        for uid, job_id in zip(going, job_ids, strict=True)
    ]
    if kept:
        reason = f"the budget is used up: {full.replace('_', ' ')} {getattr(budget, full)}"
        decisions += [Decision(rule.name, uid, "held", reason, None, now) for uid in kept]
    _store(connection, decisions, ids, held)
    return decisions


def _remaining(connection: Connection, name: str, budget: Budget, now: datetime) -> dict[str, int]:
    """How many studies may still be sent, by limit."""
    spans = {"per_hour": timedelta(hours=1), "per_day": timedelta(days=1), "total": None}
    remaining = {}
    for limit, span in spans.items():
        allowed = getattr(budget, limit)
        if allowed is not None:
            statement = select(func.count()).where(
                route_decisions.c.route == name, routed_jobs.counts_in_budget(ever=span is None)
            )
            if span is not None:
                statement = statement.where(route_decisions.c.decided_at > now - span)
            remaining[limit] = allowed - connection.execute(statement).scalar_one()
    return remaining


def _standing(
    connection: Connection, name: str, uids: Sequence[str]
) -> tuple[dict[str, int], set[int], set[int]]:
    """Row ids by UID of the studies that exist, and which of them were sent, and held back."""
    ids = study_ids(connection, uids)
    outcomes: dict[str, set[int]] = {"sent": set(), "held": set()}
    decided = select(route_decisions.c.study_id, route_decisions.c.outcome).where(
        route_decisions.c.route == name, one_of(route_decisions.c.study_id, list(ids.values()))
    )
    for study_id, outcome in connection.execute(decided):
        outcomes[outcome].add(study_id)
    return ids, outcomes["sent"], outcomes["held"]


def _store(
    connection: Connection, decisions: Sequence[Decision], ids: Mapping[str, int], held: Collection[int]
) -> None:
    """Write decisions on the studies `ids`. Those in `held` have a row already: a study that is held back
    again keeps its place in the queue.
    """
    again: list[int] = []
    rows = []
    for one in decisions:
        study_id = ids[one.study_instance_uid]
        if one.outcome == "held" and study_id in held:
            again.append(study_id)
            continue
        row = {name: getattr(one, name) for name in ("route", "outcome", "reason", "job_id", "decided_at")}
        rows.append({**row, "study_id": study_id})
    route = route_decisions.c.route
    if again:
        kept = and_(route == decisions[0].route, one_of(route_decisions.c.study_id, again))
        connection.execute(update(route_decisions).where(kept).values(reason=decisions[-1].reason))
    if rows:
        former = one_of(route_decisions.c.study_id, [row["study_id"] for row in rows])
        connection.execute(delete(route_decisions).where(route == decisions[0].route, former))
        connection.execute(insert(route_decisions), rows)


def _release(connection: Connection, name: str, uids: Collection[str]) -> None:
    if not uids:
        return
    theirs = select(studies.c.id).where(one_of(studies.c.study_instance_uid, list(uids)))
    connection.execute(
        delete(route_decisions).where(
            route_decisions.c.route == name,
            route_decisions.c.outcome == "held",
            route_decisions.c.study_id.in_(theirs),
        )
    )


def _newest_image(connection: Connection) -> int:
    """Images of later commits have higher ids."""
    return int(connection.execute(select(home.c.newest_id)).scalar_one())


def _find(connection: Connection, name: str, *, removed: bool = False) -> RoutingRule | None:
    row = connection.execute(select(routes).where(routes.c.name == name)).one_or_none()
    return None if row is None or (row.removed_at and not removed) else _record(row)


def _needed(connection: Connection, name: str) -> RoutingRule:
    found = _find(connection, name)
    if found is None:
        there = select(routes.c.name).where(routes.c.removed_at.is_(None)).order_by(routes.c.name)
        known = ", ".join(connection.execute(there).scalars())
        raise CatalogError("unknown-route", f"There is no route {name!r}; the routes are {known or 'none'}.")
    return found


def _record(row: Row[Any]) -> RoutingRule:
    return record_of(RoutingRule, row)
