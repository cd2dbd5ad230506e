"""Routing rules: listed, changed, tried on the archive without sending, and evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.reports import (
    HeldBack,
    Route,
    RouteAssessment,
    RoutedDraft,
    RouteDecision,
    RouteDetail,
    RouteDetailList,
    RouteList,
    RouteProblem,
    RouteRun,
    RouteTest,
)
from medsiglip.api.archive.drafts.reports import finding_scores
from medsiglip.api.archive.files import AnyPath, output_file
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.errors import FIRST_WAIT_S, ServiceError
from medsiglip.index.errors import CatalogError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.service.routed_jobs import RoutedDraft as StoredDraft
    from medsiglip.index.service.routing_rules import Decision, RoutedJob, RoutingRule
    from medsiglip.medgemma.routing.router import Router

_SHOWN = 100


def list_routes(archive: OpenedArchive) -> RouteList:
    """All routing rules with how much each sent and holds back, the most urgent first."""
    rules = archive.index.routing_rules
    counts = _counts(archive)
    return RouteList(routes=tuple(Route(**_described(one, counts)) for one in rules.listed()))


def _counts(archive: OpenedArchive) -> dict[tuple[str, str], int]:
    """How many studies each rule sent and holds back, and how many of its drafts wait and failed."""
    rules = archive.index.routing_rules
    counts: dict[tuple[str, str], int] = dict(rules.counts())
    counts.update(((name, standing), count) for (name, standing), count in rules.standing_counts().items())
    return counts


def show_route(archive: OpenedArchive, name: str) -> RouteDetail:
    """One routing rule, with what it holds back and why, and its drafts that wait or failed."""
    rules = archive.index.routing_rules
    rule = rules.get(name)
    waiting = rules.decisions(name, "held")[:_SHOWN]
    held_back = (HeldBack(study_instance_uid=one.study_instance_uid, reason=one.reason) for one in waiting)
    return RouteDetail(
        **_described(rule, _counts(archive)),
        held_back=tuple(held_back),
        waiting_drafts=tuple(map(_routed_draft, rules.drafts(name, "waiting", _SHOWN))),
        failed_drafts=tuple(map(_routed_draft, rules.drafts(name, "failed", _SHOWN))),
        warnings=_warnings(archive, name, rule.rule),
    )


def _warnings(archive: OpenedArchive, name: str, rule: Mapping[str, Any]) -> tuple[str, ...]:
    """What a stored rule names that is not there yet; of one that an earlier version took, what is wrong."""
    from medsiglip.api.archive.drafts.rule_checks import rule_warnings
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.routing.rules import read_rule

    try:
        return tuple(rule_warnings(archive, name, read_rule(name, rule)))
    except DraftError as error:
        return (str(error),)


def _routed_draft(draft: StoredDraft) -> RoutedDraft:
    error = draft.error or {}
    return RoutedDraft(
        study_instance_uid=draft.study_instance_uid,
        job_id=draft.job_id,
        status=draft.status,
        code=error.get("code"),
        message=error.get("message"),
        sent_at=draft.sent_at,
    )


def put_route(archive: OpenedArchive, name: str, rule: Mapping[str, Any]) -> RouteDetail:
    """Check a rule and store it, in place of the one of that name. What can never hold is refused; `warnings`
    of the answer name what may come later.
    """
    from medsiglip.api.archive.drafts.rule_checks import check_rule
    from medsiglip.medgemma.routing.rules import read_rule

    checked = read_rule(name, rule)
    if checked.enabled:
        check_rule(archive, name, checked)
    archive.index.routing_rules.put(
        name,
        checked.to_json(),
        enabled=checked.enabled,
        priority=checked.priority,
        whole_archive=checked.studies == "all",
    )
    return show_route(archive, name)


def add_routes(archive: OpenedArchive, file: AnyPath) -> RouteDetailList:
    """Store the routing rules of a TOML file, after all of them were checked."""
    from medsiglip.api.archive.drafts.rule_checks import check_rule
    from medsiglip.medgemma.routing.rules import read_rules
    from medsiglip.toml_file import toml_bytes

    rules = read_rules(toml_bytes(Path(file).expanduser()), str(file))
    for name, rule in rules.items():
        if rule.enabled:
            check_rule(archive, name, rule)
    stored = [put_route(archive, name, rule.to_json()) for name, rule in rules.items()]
    return RouteDetailList(routes=tuple(stored))


def remove_route(archive: OpenedArchive, name: str) -> RemovedName:
    """Remove a routing rule; its drafts stay, and its jobs that wait are dropped."""
    archive.index.routing_rules.remove(name)
    return RemovedName(name=name, removed=True)


def export_routes(archive: OpenedArchive, out: AnyPath) -> dict[str, Any]:
    """Write all routing rules to a TOML file that `add_routes` reads."""
    from medsiglip.medgemma.routing.rules import read_rule, rules_as_toml

    file = output_file(out)
    routes = [
        (route.name, read_rule(route.name, route.rule)) for route in archive.index.routing_rules.listed()
    ]
    file.write_text(rules_as_toml(routes), encoding="utf-8")
    return {"path": str(file), "routes": [name for name, _ in routes]}


def try_route(
    archive: OpenedArchive,
    name: str,
    *,
    rule: Mapping[str, Any] | None = None,
    on_progress: OnProgress = silent,
) -> RouteTest:
    """What a routing rule, or one that is not stored, would send of the whole archive, and why.

    Nothing is sent or stored. What was sent already is counted by itself.
    """
    from medsiglip.api.archive.drafts.rule_checks import check_rule
    from medsiglip.medgemma.routing.router import Router
    from medsiglip.medgemma.routing.rules import read_rule

    sent: set[str] = set()
    if rule is None:
        rule = archive.index.routing_rules.get(name).rule
        sent = {one.study_instance_uid for one in archive.index.routing_rules.decisions(name, "sent")}
    else:
        check_rule(archive, name, read_rule(name, rule))
    uids = [one.study_instance_uid for one in archive.index.studies()]
    router = Router(archive.index, finding_scores(archive), on_progress)
    assessed = router.assess(read_rule(name, rule), uids)
    fitting = [one for one in assessed if one.fits and one.study_instance_uid not in sent]
    others = [one for one in assessed if not one.fits]
    return RouteTest(
        route=name,
        studies=len(uids),
        would_send=tuple(RouteAssessment.model_validate(one) for one in fitting),
        already_sent=len(sent),
        would_not_send=len(others),
        examples_not_sent=tuple(RouteAssessment.model_validate(one) for one in others[:_SHOWN]),
    )


def run_routes(
    archive: OpenedArchive,
    *,
    again: bool = True,
    names: Sequence[str] | None = None,
    on_progress: OnProgress = silent,
) -> RouteRun:
    """Evaluate the enabled routing rules: on what is new to them, or `again` on all that is not sent; then
    drafts that failed are ordered again, too.

    A rule that cannot be evaluated, such as one whose probe is gone, stops neither the others nor an ingest.
    """
    for name in names or ():
        archive.index.routing_rules.get(name)
    if not any(route.enabled for route in archive.index.routing_rules.listed()):
        return RouteRun(sent=0, held=0, decisions=(), problems=(), warnings=())
    from medsiglip.index.errors import CatalogError
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.routing.router import Router

    router = Router(archive.index, finding_scores(archive), on_progress)
    decisions: list[Decision] = []
    problems, resent = [], 0
    for route in router.enabled(names):
        try:
            resent += router.resend_failed(route) if again else 0
            decisions += router.run_one(route, again=again)
        except (DraftError, CatalogError) as error:
            if error.code in FIRST_WAIT_S:
                raise
            problems.append(RouteProblem(route=route.name, code=error.code, message=str(error)))
    sent = sum(one.outcome == "sent" for one in decisions)
    return RouteRun(
        sent=sent,
        held=len(decisions) - sent,
        resent=resent,
        decisions=tuple(RouteDecision.model_validate(one) for one in decisions),
        problems=tuple(problems),
        warnings=tuple(_left_out(router)),
    )


def resend_due_drafts(archive: OpenedArchive) -> int:
    """Order again what failed because of its generator and is due by itself; returns how many drafts."""
    rules = archive.index.routing_rules
    counts = rules.standing_counts()
    failed = [one for one in rules.listed() if one.enabled and counts.get((one.name, "failed"))]
    if not failed:
        return 0
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.routing.router import routed_job
    from medsiglip.medgemma.routing.rules import read_rule

    resent = 0
    for route in failed:
        with suppress(DraftError):  # a rule that this version does not read
            job = routed_job(route.name, read_rule(route.name, route.rule))
            resent += _resent(archive, route, job)
    return resent


def _resent(archive: OpenedArchive, route: RoutingRule, job: RoutedJob) -> int:
    try:
        return archive.index.routing_rules.resend_failed(route, job, only_due=True)
    except CatalogError as error:
        if error.code != "unknown-route":  # removed meanwhile
            raise
        return 0


def _left_out(router: Router) -> Iterator[str]:
    """Sentences on the studies that were not routed on a score, by rule and source."""
    for (name, source), count in router.left_out.items():
        if count:
            yield (
                f"The route {name} leaves out {count} of the studies: {source} was trained on pictures of "
                "their patients, or on identical ones."
            )


def read_rule_file(file: Path, name: str) -> Mapping[str, Any]:
    """One rule of a file of routing rules. Raises ServiceError `unknown-route-in-file`."""
    from medsiglip.medgemma.routing.rules import read_rules
    from medsiglip.toml_file import toml_bytes

    rules = read_rules(toml_bytes(file.expanduser()), str(file))
    if name not in rules:
        raise ServiceError(
            "unknown-route-in-file", f"{file} has no route {name!r}: it has {', '.join(rules)}."
        )
    return rules[name].to_json()


def _described(route: RoutingRule, counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    return {
        "name": route.name,
        "enabled": route.enabled,
        "priority": route.priority,
        "rule": dict(route.rule),
        "sent": counts.get((route.name, "sent"), 0),
        "held": counts.get((route.name, "held"), 0),
        "waiting": counts.get((route.name, "waiting"), 0),
        "failed": counts.get((route.name, "failed"), 0),
        "created_at": route.created_at,
        "updated_at": route.updated_at,
    }
