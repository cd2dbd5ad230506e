"""Drafts and routing rules as text and tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import (
    Payload,
    one_shortened,
    print_facts,
    print_table,
    show_warnings,
)


def show_draft(console: Console, draft: Payload) -> None:
    """The text with its contradictions marked, then its findings, evidence and checks."""
    show_decision(console, draft)
    console.print(f"\n{draft['marked']}\n", soft_wrap=True, markup=False)
    print_table(
        console,
        "findings",
        ("finding", "code", "score", "state", "calibration", "source", "picture"),
        (_score(one) for one in draft["findings"]),
        numeric="score",
    )
    print_table(
        console,
        "similar cases of other patients",
        ("study", "score", "report"),
        ((one["study_instance_uid"], one["score"], one["text"]) for one in draft["evidence"]),
        numeric="score",
    )
    verdicts = ("contradict", "doubtful", "unsupported")
    doubtful = [one for one in draft["checks"] if one["verdict"] in verdicts or one["flags"]]
    if doubtful:
        print_table(
            console,
            "to look at",
            ("sentence", "finding", "verdict", "flags"),
            ((one["sentence"], one["finding"], one["verdict"], ", ".join(one["flags"])) for one in doubtful),
        )
    if draft["concerns"]:
        print_table(
            console,
            "to acknowledge or edit before it is accepted",
            ("id", "concern"),
            ((one["id"], one["sentence"]) for one in draft["concerns"]),
        )
    if draft["flips"]:
        console.print(f"changed by the retrieved reports: {escape(', '.join(draft['flips']))}")
    study = draft["study"]
    if study["region"]:
        console.print(f"part of the body: {study['region']}", soft_wrap=True, markup=False)
    conflict = [study["region_conflict"]] if study["region_conflict"] else []
    for warning in (*draft["warnings"], *conflict, *study["not_scored"]):
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)


def _score(finding: Payload) -> tuple[Any, ...]:
    """A row of the table of scores."""
    from medsiglip.medgemma.narrative.score_table import two_digits

    code = finding["code"] and f"{finding['code']['scheme']} {finding['code']['value']}"
    return (
        finding["name"],
        code,
        two_digits(finding["probability"]),
        finding["state"],
        "calibrated" if finding["calibrated"] else "uncalibrated",
        finding["source"],
        finding["picture"] or f"image {finding['image_id']}",
    )


def show_decision(console: Console, draft: Payload) -> None:
    """The status of a draft."""
    last = draft["history"][-1]
    reason = f", because: {last['reason']}" if last["reason"] else ""
    study = one_shortened(console, draft["study_instance_uid"], console.width // 3)
    console.print(
        f"{draft['id']} of study {study} by {draft['generator']}: {_standing(draft)}, "
        f"{last['by']}, {last['at']}{reason}",
        soft_wrap=True,
        markup=False,
    )
    for concern in last["acknowledged"]:
        console.print(f"acknowledged: {concern['sentence']}", soft_wrap=True, markup=False)


def _standing(draft: Payload) -> str:
    """The status of a draft, whether its text is cut off, and its place among the reports of its study."""
    parts = [draft["status"]]
    if draft["incomplete"]:
        parts.append(f"INCOMPLETE ({draft['incomplete']})")
    if draft["supersedes"]:
        parts.append(f"addendum to {draft['supersedes']}")
    if draft["superseded_by"]:
        parts.append(f"superseded by {draft['superseded_by']}")
    return ", ".join(parts)


def show_drafts(console: Console, listed: Payload) -> None:
    """One line per draft."""
    names = ("id", "status", "study_instance_uid", "generator", "route", "created_at")
    listed_as = ({**one, "status": _standing(one)} for one in listed["reports"])
    rows = [[one[name] for name in names] for one in listed_as]
    print_table(console, f"{len(rows)} drafts", names, rows)


def show_written(console: Console, written: Payload) -> None:
    """Where the file is."""
    console.print(f"{written['media_type']} in {written['path']}", soft_wrap=True, markup=False)


def show_routes(console: Console, listed: Payload) -> None:
    """One line per route."""
    names = ("name", "enabled", "priority", "sent", "held", "waiting", "failed")
    rows = [[one[name] for name in names] for one in listed["routes"]]
    print_table(console, "", names, rows, numeric="priority sent held waiting failed")
    for one in listed["routes"]:
        show_warnings(console, one)


def show_route(console: Console, route: Payload) -> None:
    """A route's rule, what it holds back, and its drafts that wait or failed."""
    apart = ("rule", "held_back", "waiting_drafts", "failed_drafts", "warnings")
    print_facts(console, ((name, value) for name, value in route.items() if name not in apart))
    print_facts(console, route["rule"].items())
    if route["held_back"]:
        rows = ((one["study_instance_uid"], one["reason"]) for one in route["held_back"])
        print_table(console, "held back", ("study", "reason"), rows)
    for name, title in (
        ("waiting_drafts", "waiting"),
        ("failed_drafts", "failed; route run sends them again"),
    ):
        if route[name]:
            drafts = ((one["study_instance_uid"], one["job_id"], one["message"]) for one in route[name])
            print_table(console, title, ("study", "job", "last failure"), drafts)
    show_warnings(console, route)


def show_route_test(console: Console, tried: Payload) -> None:
    """Which studies would go, and why."""
    print_table(
        console,
        f"{len(tried['would_send'])} of {tried['studies']} studies would be sent, "
        f"{tried['already_sent']} are sent already",
        ("study", "why"),
        ((one["study_instance_uid"], _why(one["conditions"])) for one in tried["would_send"]),
    )
    print_table(
        console,
        f"{tried['would_not_send']} would not be sent, such as",
        ("study", "why not"),
        (
            (one["study_instance_uid"], _why([c for c in one["conditions"] if not c["met"]]))
            for one in tried["examples_not_sent"][:10]
        ),
    )


def show_routed(console: Console, routed: Payload) -> None:
    """How many were sent."""
    again = f", {routed['resent']} failed ones sent again" if routed["resent"] else ""
    console.print(f"{routed['sent']} sent, {routed['held']} held back{again}")
    for problem in routed["problems"]:
        console.print(f"route {problem['route']}: {problem['message']}", soft_wrap=True, markup=False)
    show_warnings(console, routed)


def show_facts(console: Console, facts: Payload) -> None:
    """Names and values."""
    print_facts(console, facts.items())


def _why(conditions: list[Payload]) -> str:
    return "; ".join(f"{one['condition']}: {one.get('reason') or _value(one['value'])}" for one in conditions)


def _value(value: Any) -> str:
    if value is None or value == []:
        return "nothing"
    if isinstance(value, float):
        return f"{value:.3f}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
