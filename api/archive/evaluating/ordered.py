"""Evaluations that are ordered as a job: what goes with what, and the answer with the kind of its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.evaluating import drift, probe, robustness, two_models
from medsiglip.api.archive.evaluating import retrieval as neighbours
from medsiglip.api.archive.evaluating import zero_shot as prompts_module
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.answers.answer import Answer
    from medsiglip.api.archive.opened import OpenedArchive

Fields = Mapping[str, Any]
_TAKES: Mapping[str, frozenset[str]] = {
    "retrieval": frozenset({"labels", "level", "where", "compare", "spaces"}),
    "zero-shot": frozenset({"prompts", "labels", "level", "where", "spaces"}),
    "probe": frozenset({"probe", "where", "spaces"}),
    "drift": frozenset({"reference", "current", "level", "cases", "permutations"}),
    "robustness": frozenset({"prompts", "probe", "labels", "level", "where", "cases"}),
}
FIELDS = frozenset[str]().union(*_TAKES.values())
"""What an order may hold besides its kind."""
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "zero-shot": ("prompts",),
    "probe": ("probe",),
    "drift": ("reference", "current"),
}


def require_order(kind: str, fields: Fields) -> dict[str, Any]:
    """The fields that were given, of the kind's own. Raises ServiceError `bad-evaluation` for one that it
    does not take, and for one that it needs.
    """
    given = {name: value for name, value in fields.items() if value not in (None, [], ())}
    for name in given:
        if name not in _TAKES[kind]:
            raise ServiceError(
                "bad-evaluation",
                f"an evaluation of {kind} takes no {name}: it takes {', '.join(sorted(_TAKES[kind]))}.",
            )
    for name in _NEEDS.get(kind, ()):
        if name not in given:
            raise ServiceError("bad-evaluation", f"an evaluation of {kind} needs the field {name}.")
    if kind == "robustness" and ("prompts" in given) == ("probe" in given):
        raise ServiceError("one-of", "evaluate the robustness of either a prompt set or a probe.")
    return given


def evaluate_ordered(
    archive: OpenedArchive, kind: str, fields: Fields, on_progress: OnProgress = silent
) -> dict[str, Any]:
    """The answer of an evaluation as JSON, with the kind of its page as `evaluation`."""
    given = require_order(kind, fields)
    spaces = given.pop("spaces", None)
    if spaces is not None:
        found = _COMPARED[kind](archive, tuple(spaces), given)
        return {"evaluation": "comparison", **found.to_json()}
    if kind == "robustness":
        answer: Answer = robustness.evaluate_robustness(archive, **given, on_progress=on_progress)
    else:
        answer = _ASKED[kind](archive, given)
    return {"evaluation": kind, **answer.to_json()}


_ASKED: Mapping[str, Callable[[OpenedArchive, dict[str, Any]], Answer]] = {
    "retrieval": lambda archive, given: neighbours.evaluate_retrieval(archive, **given),
    "zero-shot": lambda archive, given: prompts_module.evaluate_zero_shot(archive, **given),
    "probe": lambda archive, given: probe.evaluate_probe(archive, given.pop("probe"), **given),
    "drift": lambda archive, given: drift.evaluate_drift(archive, **given),
}
_COMPARED: Mapping[str, Callable[[OpenedArchive, tuple[str, str], dict[str, Any]], Answer]] = {
    "retrieval": lambda archive, spaces, given: two_models.compare_retrieval(archive, spaces, **given),
    "zero-shot": lambda archive, spaces, given: two_models.compare_zero_shot(archive, spaces, **given),
    "probe": lambda archive, spaces, given: two_models.compare_probe(
        archive, spaces, given.pop("probe"), **given
    ),
}
