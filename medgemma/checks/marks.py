"""Contradictions and copies marked in a copy of a draft, from which the draft can be had back unchanged."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from medsiglip.medgemma.records import Check

_CONTRADICTION = "contradicts the score of "
_COPY = "copied from a similar case"
_MARK = re.compile(rf"\\([\\\[\]])|\[\[(?:{_CONTRADICTION}[^\[\]\\]*|{_COPY})\]\[|(\]\])")
_SPECIAL = re.compile(r"[\\\[\]]")


def marked(text: str, checks: Sequence[Check]) -> str:
    r"""Return `text` with contradicted sentences and clauses as `[[contradicts the score of LABEL 0.9][..]]`,
    and with sentences that stand in another patient's report as `[[copied from a similar case][..]]`.

    Brackets and backslashes of the text itself are written with a backslash before them, so that `unmarked`
    gives the text back whatever it holds.
    """
    labels: dict[tuple[int, int], list[str]] = defaultdict(list)
    copied = {(check.start, check.end) for check in checks if "copied-from-similar-case" in check.flags}
    for check in checks:
        if check.verdict == "contradict":
            score = "" if check.probability is None else f" {check.probability:.2f}"
            label = f"{_SPECIAL.sub('', check.finding or '')}{score}"
            if label not in labels[check.start, check.end]:
                labels[check.start, check.end].append(label)
    parts, position = [], 0
    for start, end in sorted({*labels, *copied}):
        if start < position:
            continue
        named = f"{_CONTRADICTION}{', '.join(labels[start, end])}" if (start, end) in labels else _COPY
        parts.append(_escaped(text[position:start]))
        parts.append(f"[[{named}][{_escaped(text[start:end])}]]")
        position = end
    return "".join([*parts, _escaped(text[position:])])


def unmarked(text: str) -> str:
    """Return the draft that `marked` was given."""
    return _MARK.sub(lambda found: found[1] or "", text)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], text)
