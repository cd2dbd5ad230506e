"""What writes drafts: one protocol, kept by a server elsewhere and by a model in this process.

`medsiglip.medgemma.generators.openai_server.OpenAIServer` and
`medsiglip.medgemma.generators.local_pipeline.LocalPipeline` keep it. `evidence-only`
(`medsiglip.medgemma.generators.evidence_only`) needs no generator. A generator writes prose around findings;
it never scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.replies import Reply
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import Prompt

__all__ = ["Cancelled", "Generator", "Readiness", "Reply", "cancellation", "never"]

Cancelled = Callable[[], bool]
"""Asked every fraction of a second while a generator works; true ends the work."""


def never() -> bool:
    """Cancel nothing."""
    return False


def cancellation() -> DraftError:
    """The error of work that was ended because `cancelled` said so."""
    return DraftError(
        "cancelled", "The draft was cancelled before its generator had finished; nothing was kept."
    )


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a generator can write drafts now; `code` is None when it can, `message` is for a person."""

    ready: bool
    code: str | None
    message: str
    model: str | None = None


class Generator(Protocol):
    """Writes text from a prompt. `name` is kept with each draft, `budget` is what a prompt may take."""

    name: str
    budget: Budget

    def generate(self, prompt: Prompt, *, cancelled: Cancelled = never) -> Reply:
        """Return the reply to one prompt; safe to call from several threads, not from a running event loop.

        Raises DraftError; `may_pass` says whether the same prompt may succeed later. Codes of all generators:
        `cancelled`, `generator-timeout`, `prompt-too-long`, `reply-empty`, `reply-refused`.
        """
        ...

    def ready(self) -> Readiness:
        """Try the generator with two pictures, or return what was found a short while ago. Never raises."""
        ...
