"""What an evaluation of a prompt set was asked for, checked alike for each kind of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from medsiglip.api.archive.evaluating.label_figures import listed
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.index.records import Level
    from medsiglip.zero_shot.prompt_set import PromptSet


class AskedPrompts(NamedTuple):
    """A prompt set, those of its labels that are to be evaluated, and at which level."""

    prompt_set: PromptSet
    labels: tuple[str, ...]
    level: Level

    def no_labels(self) -> ServiceError:
        """The error `no-labels`, for an archive in which none of the labels is known of a case that fits."""
        return ServiceError(
            "no-labels",
            f"no case that prompt set {self.prompt_set.name} fits carries {listed(self.labels)}: import "
            "labels of these names, or widen --where.",
        )


def asked_prompts(prompts: str, labels: Sequence[str], level: str) -> AskedPrompts:
    """The prompt set of a name or a file, and `labels` of it, all if none is named. Raises ServiceError
    `bad-level` and `unknown-label`, and ModelError for the set.
    """
    from medsiglip.zero_shot.prompt_file import load_prompt_set

    stands_for = level_named(level)
    if stands_for == "series":
        raise ServiceError("bad-level", "zero-shot scores are evaluated at image or study level.")
    prompt_set = load_prompt_set(prompts)
    wanted = tuple(dict.fromkeys(labels)) or prompt_set.labels
    for label in wanted:
        if label not in prompt_set.prompts:
            known = ", ".join(prompt_set.labels)
            raise ServiceError(
                "unknown-label", f"prompt set {prompt_set.name} has no label {label!r}: it has {known}."
            )
    return AskedPrompts(prompt_set, wanted, stands_for)
