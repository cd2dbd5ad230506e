"""Warnings about texts that are longer than what the model reads of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.tokenizer import Tokenizer
    from medsiglip.zero_shot.prompt_set import PromptSet

_NAMED = 3
_MAX_NAME = 60


def truncation_warnings(
    tokenizer: Tokenizer, texts: Sequence[str], names: Sequence[str], what: str
) -> tuple[str, ...]:
    """One sentence if the ends of some texts are not read, with their number, the first of their `names` and
    their lengths in tokens; empty if all are read whole.

    `what` are the texts, in the plural. The last place of the context is for `</s>`.
    """
    most = tokenizer.context_length - 1
    long = [
        (name, length) for name, length in zip(names, tokenizer.lengths(texts), strict=True) if length > most
    ]
    if not long:
        return ()
    if len(texts) == 1:
        return (
            f"The text has {long[0][1]} tokens and the model reads the first {most}: its end was not read. "
            "Shorten it.",
        )
    named = [f"{_short(name)} ({length} tokens)" for name, length in long[:_NAMED]]
    more = [f"{len(long) - _NAMED} more"] if len(long) > _NAMED else []
    return (
        f"{len(long)} of {len(texts)} {what} are longer than the {most} tokens that the model reads, so that "
        f"ends were not read: {', '.join([*named, *more])}. Shorten them.",
    )


def prompt_warnings(tokenizer: Tokenizer, prompt_set: PromptSet) -> tuple[str, ...]:
    """As `truncation_warnings`, for the texts of a prompt set or of free labels."""
    if prompt_set.is_free:
        return truncation_warnings(tokenizer, prompt_set.labels, prompt_set.labels, "labels")
    pairs = [
        (text, label)
        for label, prompts in prompt_set.prompts.items()
        for text in (*prompts.present, *prompts.absent)
    ]
    texts, labels = [text for text, _ in pairs], [f"of {label}" for _, label in pairs]
    return truncation_warnings(tokenizer, texts, labels, f"texts of prompt set {prompt_set.name}")


def _short(name: str) -> str:
    shown = " ".join(name.split())
    return shown if len(shown) <= _MAX_NAME else f"{shown[:_MAX_NAME]}…"
