"""The reply of a generator, and whether it is a usable text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medsiglip.medgemma.errors import DraftError

_THOUGHT_END = "<unused95>"
_THOUGHT_BEGIN = re.compile(r"\s*+(?:<unused94>)?+\s*+(?:thought\b)?+\s*+")
_SPECIAL = re.compile(
    r"<(?:pad|eos|bos|unk|mask|unused\d+|(?:start|end)_of_(?:turn|image)|image_soft_token)>"
)
_REFUSAL = re.compile(
    r"(?:i(?:'|’)?m sorry|i am sorry|sorry|i apologi[sz]e|as an ai\b)"
    r"|(?:unfortunately,? )?i(?: cannot| can(?:'|’)t|(?:'|’)m unable to| am unable to| am not able to"
    r"| won(?:'|’)t)"
    r" (?:provide|interpret|analy[sz]e|diagnose|assist|help|comply|fulfil+|generate|give|offer|write|do that"
    r"|(?:see|view|access|process|open|display) (?:the |any |this |that |an? |your )?(?:attached )?"
    r"(?:images?|pictures?|attachments?|files?|scans?|x-?rays?))",
    re.IGNORECASE,
)


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


def split_thinking(text: str) -> tuple[str | None, str]:
    """Split a raw reply into (thought, answer).

    MedGemma 27B opens with `<unused94>thought` and ends the thought with `<unused95>`; the first of these two
    may have been dropped by the server. A thought that never ends leaves no answer; nor does one whose
    end a server dropped, because nothing marks where the answer begins.
    """
    thought, end, answer = text.partition(_THOUGHT_END)
    if not end:
        if not text.lstrip().startswith(("<unused94>", "thought\n")):
            return None, text
        thought, answer = text, ""
    begin = _THOUGHT_BEGIN.match(thought)
    return thought[begin.end() if begin else 0 :].strip() or None, answer


def read_reply(
    raw: str,
    *,
    model: str,
    finish_reason: str,
    thinking: str | None = None,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
) -> Reply:
    """Make a Reply of raw text; `thinking` is the thought that the server had already separated.

    Raises DraftError `reply-empty` when no letter or digit is left without special tokens (what float16
    overflow and NaN leave behind), `reply-refused` when the model or the server's filter declines.
    """
    within, answer = split_thinking(raw)
    text = _SPECIAL.sub("", answer).strip()
    thought = "\n".join(part for part in (thinking, within) if part) or None
    if finish_reason == "content_filter":
        raise _refused(model)
    if not any(character.isalnum() for character in text):
        raise DraftError("reply-empty", _why_empty(model, thought, finish_reason))
    if _REFUSAL.match(text):
        raise _refused(model)
    return Reply(text, thought, finish_reason, prompt_tokens, completion_tokens, model)


def _refused(model: str) -> DraftError:
    return DraftError(
        "reply-refused",
        f"{model} declined to answer; check that it is a medical model served with its own chat template, "
        "or use evidence-only.",
    )


def _why_empty(model: str, thought: str | None, finish_reason: str) -> str:
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
