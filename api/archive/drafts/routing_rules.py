"""Routes: listed, changed, tried on the archive without sending, and evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.payload import plain
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.reporting import ReportingArchive
    from medsiglip.index.service.routing_rules import Decision, RouteRecord

Answer = dict[str, Any]
OnProgress = Callable[[str, int, int | None], None]
_SHOWN = 100


def list_routes(archive: ReportingArchive) -> Answer:
    """The routes, the most urgent first."""
    counts = archive.index.routes.counts()
    return {"routes": [_described(route, counts) for route in archive.index.routes.listed()]}


def show_route(archive: ReportingArchive, name: str) -> Answer:
    """One route and what it holds back."""
    route = archive.index.routes.get(name)
    held = archive.index.routes.decisions(name, "held")
    waiting = [{"study_instance_uid": one.study_instance_uid, "reason": one.reason} for one in held]
    return {**_described(route, archive.index.routes.counts()), "held_back": waiting[:_SHOWN]}


def put_route(archive: ReportingArchive, name: str, rule: Mapping[str, Any]) -> Answer:
    """Check a rule and store it; what the rule names must be there."""
    from medsiglip.api.archive.drafts.generator_settings import generator_named
    from medsiglip.medgemma.routing.rule_reading import read_rule

    checked = read_rule(name, rule)
    generator_named(archive.settings, checked.generator)
    archive.index.routes.put(
        name,
        checked.to_json(),
        enabled=checked.enabled,
        priority=checked.priority,
        whole_archive=checked.studies == "all",
    )
    return show_route(archive, name)


def add_routes(archive: ReportingArchive, file: Path) -> Answer:
    """Store the routes of a file, after all of them were checked."""
    from medsiglip.medgemma.routing.rule_reading import read_routes
    from medsiglip.toml_file import toml_bytes

    rules = read_routes(toml_bytes(file.expanduser()), str(file))
    return {"routes": [put_route(archive, name, rule.to_json()) for name, rule in rules.items()]}


def export_routes(archive: ReportingArchive, out: Path) -> Answer:
    """Write the routes as TOML."""
    from medsiglip.api.archive.files import output_file
    from medsiglip.medgemma.routing.rule_reading import read_rule, routes_as_toml

    file = output_file(out)
    routes = [(route.name, read_rule(route.name, route.rule)) for route in archive.index.routes.listed()]
    file.write_text(routes_as_toml(routes), encoding="utf-8")
    return {"path": str(file), "routes": [name for name, _ in routes]}


def test_route(
    archive: ReportingArchive, name: str, rule: Mapping[str, Any] | None, on_progress: OnProgress
) -> Answer:
    """Assess every study of the archive; nothing is sent or stored. What was sent already is told apart."""
    from medsiglip.api.archive.drafts.reports import finding_scores
    from medsiglip.medgemma.routing.routing import Router
    from medsiglip.medgemma.routing.rule_reading import read_rule

    sent: set[str] = set()
    if rule is None:
        rule = archive.index.routes.get(name).rule
        sent = {one.study_instance_uid for one in archive.index.routes.decisions(name, "sent")}
    uids = [one.study_instance_uid for one in archive.index.studies()]
    router = Router(archive.index, finding_scores(archive), on_progress)
    assessed = router.assess(read_rule(name, rule), uids)
    fitting = [one for one in assessed if one.fits and one.study_instance_uid not in sent]
    others = [one for one in assessed if not one.fits]
    return {
        "route": name,
        "studies": len(uids),
        "would_send": plain(fitting),
        "already_sent": len(sent),
        "would_not_send": len(others),
        "examples_not_sent": plain(others[:_SHOWN]),
    }


def run_routes(
    archive: ReportingArchive, again: bool, names: Sequence[str] | None, on_progress: OnProgress
) -> Answer:
    """Evaluate routes; the number of studies sent and held back, each decision, and the routes that could not
    be evaluated, such as by a probe that is gone: they stop neither the others nor an ingest.
    """
    for name in names or ():
        archive.index.routes.get(name)
    if not any(route.enabled for route in archive.index.routes.listed()):
        return {"sent": 0, "held": 0, "decisions": [], "problems": []}
    from medsiglip.api.archive.drafts.reports import finding_scores
    from medsiglip.api.archive.retries import FIRST_WAIT_S
    from medsiglip.index.errors import CatalogError
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.routing.routing import Router

    router = Router(archive.index, finding_scores(archive), on_progress)
    decisions: list[Decision] = []
    problems = []
    for route in router.enabled(names):
        try:
            decisions += router.run_one(route, again=again)
        except (DraftError, CatalogError) as error:
            if error.code in FIRST_WAIT_S:
                raise
            problems.append({"route": route.name, "code": error.code, "message": str(error)})
    rows = [
        {
            "route": one.route,
            "study_instance_uid": one.study_instance_uid,
            "outcome": one.outcome,
            "reason": one.reason,
            "job_id": one.job_id,
        }
        for one in decisions
    ]
    sent = sum(one.outcome == "sent" for one in decisions)
    return {"sent": sent, "held": len(rows) - sent, "decisions": rows, "problems": problems}


def read_rule_file(file: Path, name: str) -> Mapping[str, Any]:
    """The rule of one route of a file. Raises ServiceError `unknown-route-in-file`."""
    from medsiglip.medgemma.routing.rule_reading import read_routes
    from medsiglip.toml_file import toml_bytes

    rules = read_routes(toml_bytes(file.expanduser()), str(file))
    if name not in rules:
        raise ServiceError(
            "unknown-route-in-file", f"{file} has no route {name!r}: it has {', '.join(rules)}."
        )
    return rules[name].to_json()


def _described(route: RouteRecord, counts: Mapping[tuple[str, str], int]) -> Answer:
    return {
        "name": route.name,
        "enabled": route.enabled,
        "priority": route.priority,
        "rule": dict(route.rule),
        "sent": counts.get((route.name, "sent"), 0),
        "held": counts.get((route.name, "held"), 0),
        "created_at": route.created_at.isoformat(),
        "updated_at": route.updated_at.isoformat(),
    }
