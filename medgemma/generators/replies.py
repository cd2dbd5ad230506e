"""The reply of a generator, and whether it is a usable text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.reply_text import (
    clean_characters,
    first_turn,
    special_tokens,
    without_disclaimers,
    without_markup,
    without_preamble,
)
from medsiglip.medgemma.generators.thoughts import split_thinking
from medsiglip.medgemma.generators.unusable_replies import check_usable, is_empty_loop, looping, refused
from medsiglip.medgemma.prompting.prompts import Prompt

# The words by which vLLM, TGI, Ollama, Anthropic's and others' servers say that the model itself ended.
_WHOLE = frozenset(["stop", "eos", "eos_token", "stop_sequence", "end_turn", "end", "done", "completed"])
_FILTERED = "content_filter"
_WORD = re.compile(r"[^\W\d_]{2,}")
_SENTENCE = re.compile(r"[^.!?\n]+")
_FEWEST_WORDS = 3
_LONGEST_REASON = 40


@dataclass(frozen=True, slots=True)
class RawReply:
    """A reply as it came: `thinking` is the thought that the server had already separated, `finish_reason`
    its own value, None where it gave none.
    """

    text: str
    model: str
    finish_reason: str | None
    thinking: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: `text` without its thought, `thinking` the thought if there was one.

    `finish_reason` is `stop`, `length` (the reply was ended by its token limit) or the server's own value;
    the token counts are the generator's, None where it gave none. `incomplete` says why the text is cut off
    (`length`, `abort`, ...), None where it is whole.
    """

    text: str
    thinking: str | None
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    model: str
    incomplete: str | None = None


def read_reply(raw: RawReply, prompt: Prompt | None = None) -> Reply:
    """Make a Reply of a raw one: characters, thoughts, markup, preambles and disclaimers are seen to.

    A reply that did not end by itself is `incomplete`. Raises DraftError `reply-empty` when no letter or
    digit is left without special tokens (what float16 overflow and NaN leave behind), `reply-refused` when
    the model or the server's filter declines, `reply-cut-off` when less than three words came of one that did
    not end, and the codes of `check_usable`.
    """
    model, cleaned = raw.model, clean_characters(raw.text)
    within, answer = split_thinking(cleaned)
    thought = "\n".join(part for part in (clean_characters(raw.thinking or "").strip(), within) if part)
    if raw.finish_reason == _FILTERED:
        raise refused(model)
    turn = first_turn(answer)
    if not _has_content(turn):
        if not thought and is_empty_loop(turn, special_tokens(answer)):
            raise looping(model, has_words=False)
        raise DraftError("reply-empty", _why_empty(model, thought, raw.finish_reason))
    text = without_preamble(without_preamble(without_markup(turn)))
    text, declines = without_disclaimers(text)
    check_usable(text, model, prompt)
    if not _has_content(text) or (declines and _sentences(text) < 2):
        raise refused(model)
    incomplete = why_incomplete(raw.finish_reason) or _at_limit(raw, text, prompt)
    if incomplete is not None and len(_WORD.findall(text)) < _FEWEST_WORDS:
        raise cut_off(model)
    return Reply(
        text,
        thought or None,
        raw.finish_reason or "none",
        raw.prompt_tokens,
        raw.completion_tokens,
        model,
        incomplete,
    )


def why_incomplete(finish_reason: str | None) -> str | None:
    """Why a reply of this finish reason is cut off, such as `length` or `none`; None where it is whole."""
    reason = (finish_reason or "none").strip().lower()
    return None if reason in _WHOLE else re.sub(r"[^a-z0-9_-]+", "-", reason)[:_LONGEST_REASON] or "none"


def _at_limit(raw: RawReply, text: str, prompt: Prompt | None) -> str | None:
    """`length` for a reply of as many tokens as it may have that ends within a sentence: some servers call
    every end `stop`.
    """
    if prompt is None or raw.completion_tokens is None or raw.completion_tokens < prompt.reply_tokens:
        return None
    return None if text.rstrip("*_`\"')] \n").endswith((".", "!", "?", "|", ":")) else "length"


def cut_off(model: str) -> DraftError:
    """The error of a reply that ended before its end, and before it said anything."""
    return DraftError(
        "reply-cut-off",
        f"The reply of {model} broke off in the middle; try again, and look at the server's log.",
        may_pass=True,
    )


def _has_content(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _sentences(text: str) -> int:
    return sum(len(_WORD.findall(one)) >= _FEWEST_WORDS for one in _SENTENCE.findall(text))


def _why_empty(model: str, thought: str, finish_reason: str | None) -> str:
    if thought and finish_reason == "length":
        return (
            f"{model} was still thinking when its reply reached the token limit; allow it more "
            "thinking_tokens."
        )
    if thought:
        return (
            f"{model} wrote a thought and nothing that ends it; have its server keep special tokens in the "
            "text, or split thoughts off by itself."
        )
    return (
        f"{model} wrote no text; if it runs in float16, run it in bfloat16 or float32, for float16 overflows "
        "in its vision tower."
    )
