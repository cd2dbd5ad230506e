"""Scores of pictures and studies, and the prompt sets that give them, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, print_table, show_warnings

_NOT_FITTING = "not for this {}"
_SCORINGS = {
    None: "scores of a probe",
    "protocol": "scores by the published protocol",
    "sigmoid": "scores by the model's own sigmoid",
}


def show_classification(console: Console, scored: Payload) -> None:
    """Scores of one picture or study, or of several pictures."""
    for one in scored.get("results", [scored]):
        if "error" in one:
            console.print(
                f"[bold]{escape(str(one['path']))}[/bold]: {escape(one['error']['message'])}", soft_wrap=True
            )
            continue
        image = one["image"]
        is_study = "study_instance_uid" in one
        title = f"study {one['study_instance_uid']}" if is_study else str(image["path"])
        show_scores(console, title, one, "study" if is_study else "image")
        if one.get("images", 1) > 1:
            console.print(
                f"pooled over {one['images']} images by the {one['pooling']}; "
                f"driven by {image['path']} frame {image['frame']}",
                soft_wrap=True,
                markup=False,
            )
        if one is not scored:
            show_warnings(console, one)
    show_warnings(console, scored)


def show_scores(console: Console, title: str, one: Payload, what: str) -> None:
    """The scores of one picture or study, `what` it is called; those that are not about it come last and
    have no number.
    """
    scores = sorted(one["scores"], key=lambda score: score.get("fits") is False)
    heading, with_state = score_heading(scores)
    verdicts = any(score.get("verdict") for score in scores)
    headings = ["label", heading, *(["calibrated"] if with_state else [])]
    headings += [*(["verdict"] if verdicts else []), "cosine"]
    print_table(
        console,
        title,
        headings,
        (_row(score, what, with_state=with_state, verdicts=verdicts) for score in scores),
        numeric=f"{heading} cosine",
    )
    states = {bool(score.get("calibrated")) for score in scores if score.get("fits") is not False}
    if False in states:
        console.print(UNCALIBRATED.format(_SCORINGS[one.get("scoring")]), soft_wrap=True, markup=False)


UNCALIBRATED = "uncalibrated {}: they rank, and do not say how likely something is"
"""What stands below scores that no calibration was fitted for."""


def score_heading(scores: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """How the column of scores is called, and whether another one must say which of them are calibrated."""
    states = {bool(score.get("calibrated")) for score in scores if score.get("fits") is not False}
    return ("probability" if states == {True} else "score"), states == {True, False}


def _row(score: Mapping[str, Any], what: str, *, with_state: bool, verdicts: bool) -> list[object]:
    fits = score.get("fits") is not False
    state = "calibrated" if score.get("calibrated") else "uncalibrated"
    row: list[object] = [score["label"], score["probability"] if fits else _NOT_FITTING.format(what)]
    row += [state if fits else ""] if with_state else []
    row += [score.get("verdict") if fits else ""] if verdicts else []
    return [*row, score["cosine"] if fits else ""]


def show_prompt_sets(console: Console, listed: Payload) -> None:
    """One line for each prompt set, then where its texts come from."""
    rows = (
        (
            one["name"],
            one["kind"],
            len(one["labels"]),
            _beginning(one["labels"]),
            ", ".join(one["modalities"]) or one["where"],
            one["regions"],
            one["population"],
        )
        for one in listed["prompt_sets"]
    )
    headings = ("name", "kind", "labels", "such as", "modalities", "parts of the body", "patients")
    print_table(console, "", headings, rows, numeric="labels")
    for one in listed["prompt_sets"]:
        console.print(f"{one['name']}: {one['source']}", soft_wrap=True, markup=False)


def _beginning(labels: Sequence[str]) -> str:
    return ", ".join(labels[:3]) + (", …" if len(labels) > 3 else "")
