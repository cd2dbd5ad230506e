"""What a model thought before its answer, split off where its end is certain.

Models mark their thoughts with tokens of their own, and servers may drop the first, the last or all of them.
"""

from __future__ import annotations

import re

PAIRS = (
    ("<unused94>", "<unused95>"),  # MedGemma 27B
    ("<|channel>", "<channel|>"),  # Gemma 4
    ("<think>", "</think>"),  # DeepSeek, Qwen
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
)
"""The marks that begin and end a thought, and whose they are."""
_OPENS = frozenset(begin.lower() for begin, _ in PAIRS)
_MARK = re.compile("|".join(re.escape(mark) for pair in PAIRS for mark in pair), re.IGNORECASE)
_NAME = re.compile(r"\s*+(?:(?:thought|think|thinking|analysis)\b)?+:?+\s*+", re.IGNORECASE)
# gpt-oss writes channels; a server that strips its tokens leaves their names run together with the text.
_FINAL = "<|channel|>final<|message|>"
_FINAL_STRIPPED = "assistantfinal"
_CHANNEL_TOKEN = re.compile(r"<\|(?:start|end|return|channel|message|constrain|call)\|>")
_OF_A_THOUGHT = re.compile(
    r"\s*+(?:(?:thought|think|thinking|analysis|reasoning)[ \t]*+\n|analysis(?=[A-Z])"
    r"|(?:okay|ok|alright|hmm|so|well)?,? ?(?:the user (?:is|has|wants?|asks?|asked|provided|gave|needs?)\b"
    r"|(?:let me|let's|i need to|i should|we need to|i have to) (?:think|start|begin|analy[sz]e|see\b|look"
    r"|write|produce|describe|generate|answer|consider|figure|examine)))",
    re.IGNORECASE,
)
_ANALYSIS = re.compile(r"\s*+analysis(?=[A-Z])")


def split_thinking(text: str) -> tuple[str | None, str]:
    """Split a raw reply into (thought, answer).

    An end without its beginning ends a thought that began with the reply. A thought that never ends leaves
    no answer; nor does one whose end a server dropped, because nothing marks where the answer begins.
    """
    if "<|channel|>" in text or _ANALYSIS.match(text):
        return _of_channels(text)
    thought: list[str] = []
    answer: list[str] = []
    inside, start = False, 0
    for mark in _MARK.finditer(text):
        part, start = text[start : mark.start()], mark.end()
        if inside:
            thought.append(part)
        else:
            answer.append(part)
        opens = mark.group().lower() in _OPENS
        if not opens and not inside:
            thought, answer = [*thought, *answer], []
        inside = opens
    if inside:
        return _thought([*thought, *answer, text[start:]]), ""
    rest = "".join([*answer, text[start:]])
    if _OF_A_THOUGHT.match(rest):
        return _thought([*thought, rest]), ""
    return _thought(thought), rest


def _of_channels(text: str) -> tuple[str | None, str]:
    for final in (_FINAL, _FINAL_STRIPPED):
        thought, end, answer = text.rpartition(final)
        if end:
            begun = _CHANNEL_TOKEN.search(answer)
            whole = answer if begun is None else answer[: begun.start()]
            return _thought([_CHANNEL_TOKEN.sub(" ", thought)]), whole
    return _thought([_CHANNEL_TOKEN.sub(" ", text)]), ""


def _thought(parts: list[str]) -> str | None:
    named = (part[begin.end() if (begin := _NAME.match(part)) else 0 :].strip() for part in parts)
    return "\n".join(part for part in named if part) or None
