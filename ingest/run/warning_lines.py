"""Warnings of a run, one line for each kind: a thousand equal sentences about a thousand UIDs are one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from medsiglip.answers.cases import IngestReport, WarningGroup

NAMED = 3
_ABOUT_A_UID = re.compile(r"([0-9.]{1,64}): (.+)", re.DOTALL)
_COUNTED = re.compile(r"([0-9]{1,18}) (.+)", re.DOTALL)


def grouped(warnings: Iterable[str]) -> tuple[tuple[str, ...], tuple[WarningGroup, ...]]:
    """Lines in the order of their first warnings, and the groups that some of them sum up.

    `UID: sentence` is one line for all UIDs of a sentence, which names the first `NAMED`; numbers before
    equal texts are added; and what is the same is said once.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for warning in warnings:
        if about := _ABOUT_A_UID.fullmatch(warning):
            kinds.setdefault(("uid", about.group(2)), []).append(about.group(1))
        elif counted := _COUNTED.fullmatch(warning):
            kinds.setdefault(("count", counted.group(2)), []).append(counted.group(1))
        else:
            kinds.setdefault(("text", warning), [])
    lines: list[str] = []
    groups: list[WarningGroup] = []
    for (kind, text), values in kinds.items():
        if kind == "text":
            lines.append(text)
        elif kind == "count":
            lines.append(f"{sum(map(int, values))} {text}")
        else:
            uids = tuple(dict.fromkeys(values))
            group = WarningGroup(warning=text, about=uids)
            lines.append(line_of(group))
            groups += [group] if len(uids) > 1 else []
    return tuple(lines), tuple(groups)


def line_of(group: WarningGroup) -> str:
    """The line that sums up a group."""
    uids, text = group.about, group.warning
    if len(uids) == 1:
        return f"{uids[0]}: {text}"
    named = ", ".join(uids[:NAMED])
    more = f" and {len(uids) - NAMED} more" if len(uids) > NAMED else ""
    return f"{len(uids)} times: {text.removesuffix('.')} ({named}{more})."


def single(report: IngestReport) -> list[str]:
    """The warnings of a report before they were grouped, for the sum of several reports."""
    lines = {line_of(group) for group in report.warned}
    each = [f"{uid}: {group.warning}" for group in report.warned for uid in group.about]
    return [*each, *(warning for warning in report.warnings if warning not in lines)]
