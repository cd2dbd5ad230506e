"""What writes drafts: the protocol of generators, the kinds that may be configured, and their settings.

`evidence-only` (`medsiglip.medgemma.generators.evidence_only`) needs no generator. A generator writes prose
around findings; it never scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.replies import Reply
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import Prompt

__all__ = [
    "Cancelled",
    "Generator",
    "GeneratorKind",
    "GeneratorSettings",
    "Readiness",
    "cancellation",
    "never",
]

Cancelled = Callable[[], bool]
"""Called every fraction of a second while a generator works; true ends the work."""


def never() -> bool:
    """Cancel nothing."""
    return False


def cancellation() -> DraftError:
    """The error of work that was ended because `cancelled` returned true."""
    return DraftError(
        "cancelled", "The draft was cancelled before its generator had finished; nothing was kept."
    )


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a generator can write drafts now; `code` is None when it can, `message` is for a person.
    `may_pass` tells whether one that cannot may do so later.
    """

    ready: bool
    code: str | None
    message: str
    model: str | None = None
    may_pass: bool = False


class Generator(Protocol):
    """Writes text from a prompt. `name` is kept with each draft, `budget` is what a prompt may take."""

    name: str
    budget: Budget

    def generate(self, prompt: Prompt, *, cancelled: Cancelled = never) -> Reply:
        """Return the reply to one prompt; safe to call from several threads, not from a running event loop.

        Raises DraftError; `may_pass` tells whether the same prompt may succeed later. Codes of all
        generators: `cancelled`, `generator-timeout`, `prompt-too-long`, `reply-cut-off`, `reply-empty`,
        `reply-refused`, `reply-asks-for-picture`, `reply-looping`, `reply-echoes-prompt`,
        `reply-names-a-patient`.
        """
        ...

    def ready(self) -> Readiness:
        """Try the generator with two pictures, or return a recent result. Never raises."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class GeneratorKind:
    """A kind of generator: the settings that it adds to those of every kind, and how it is made from them.

    `fields` are its own settings with their types, `required` those of them that must be given, `checks`
    raises DraftError for a value that a field cannot have. `in_process` is true of one that loads its model
    in the process that uses it.
    """

    name: str
    fields: Mapping[str, type]
    make: Callable[[GeneratorSettings], Generator]
    required: tuple[str, ...] = ()
    checks: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    in_process: bool = False


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """A configured generator, checked by `medsiglip.medgemma.generators.kinds.read_generator`.

    `own` holds the settings of its kind, which may be secret; `show_burned_in` is whether it may be shown
    pictures that may name the patient.
    """

    name: str
    kind: GeneratorKind
    model: str
    budget: Budget
    show_burned_in: bool = False
    own: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    def settings(self) -> dict[str, Any]:
        """The settings of the kind; a table, which is kept as JSON because settings are hashed, as a dict."""
        return {
            name: json.loads(value) if self.kind.fields[name] is dict else value for name, value in self.own
        }

    def make(self) -> Generator:
        """Return the generator; no connection is made and no model loaded yet.

        Raises DraftError `bad-generators` for a key that cannot be read.
        """
        return self.kind.make(self)
