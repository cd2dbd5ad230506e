"""What servers of chat completions refuse, by their own words: the reason, the cure, and what to leave out.

A message of a server is examined and never repeated, because it may repeat the prompt; only numbers are
taken from it. The words are those of vLLM, llama.cpp, Ollama, TGI, LM Studio, OpenAI and nginx.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medsiglip.medgemma.generators.request_body import (
    Change,
    as_jpeg,
    other_reply_limit,
    without_stream_options,
    without_streaming,
    without_system,
    without_temperature,
)

_REFUSED = (
    r"(?:unsupported|not support|n't support|unknown|unrecogni[sz]ed|unexpected|extra|not permitted"
    r"|not allowed"
    r"|not a valid|invalid|instead|not available|not implemented)"
)
_REPLY_LIMIT = re.compile(
    rf"max_(?:completion_)?tokens\b.{{0,120}}{_REFUSED}|{_REFUSED}.{{0,60}}\bmax_(?:completion_)?tokens\b",
    re.IGNORECASE,
)
_TEMPERATURE = re.compile(
    rf"temperature\b.{{0,120}}(?:{_REFUSED}|only the default|must be|greater|positive)"
    rf"|{_REFUSED}.{{0,60}}\btemperature",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way in which a server refuses: `said` finds it in a message. The sentence for a person is
    "The server of MODEL `reason` (status); `cure`.", with `{pictures}`, `{tokens}`, `{reply}` of the prompt
    and `{number}`, the first number that `said` captures. `change` leaves out what was refused, and the
    request is sent again; `may_pass`: the same request may succeed later.
    """

    code: str
    said: re.Pattern[str]
    reason: str
    cure: str
    change: Change | None = None
    may_pass: bool = False


TOO_LARGE = Refusal(
    "request-too-large",
    re.compile(
        r"(?:body|entity|payload|request|content)[^.]{0,20} too large|too large (?:a )?(?:body"
        r"|request|payload)"
        r"|(?:body|payload|request)[^.]{0,30} exceeds? (?:the )?(?:max|limit|size)",
        re.IGNORECASE,
    ),
    "or a proxy before it takes no request as large as {pictures}",
    'raise its limit (nginx: client_max_body_size), set picture_format = "jpeg", or show fewer pictures',
    as_jpeg,
)
"""A request of too many bytes, which servers also tell by status 413."""

# The order matters: a message on the context may name max_tokens, one on pictures may name the template.
REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "generator-quota",
        re.compile(
            r"insufficient[_ ]quota|exceeded your (?:current )?quota|quota (?:is |was |has been"
            r" )?exceeded|out of"
            r" credits?|insufficient (?:credits?|balance|funds)|billing",
            re.IGNORECASE,
        ),
        "has no quota left for this key",
        "raise the quota of the account, or use another key or server",
    ),
    Refusal(
        "generator-out-of-memory",
        re.compile(
            r"out of memory|\boom\b|not enough memory|insufficient memory|more system memory"
            r"|failed to allocate|cannot allocate memory|outofmemory",
            re.IGNORECASE,
        ),
        "has not enough memory for this prompt",
        "show it fewer pictures (most_pictures), serve the model on more memory, or end what else runs there",
        may_pass=True,
    ),
    Refusal(
        "generator-without-vision",
        re.compile(
            r"(?:image|vision|multi-?modal)[^.]{0,40}(?:is|are|was)? ?not (?:supported|enabled"
            r"|available)|mmproj"
            r"|does(?: not|n't) (?:support|accept|have) (?:image|vision|multi-?modal|picture)"
            r"|not an? (?:multi-?modal|vision)|(?:unknown|unsupported|invalid) (?:content )?(?:part"
            r" )?type[^.]{0,20}"
            r"image|missing data required for image|at most 0 image|no endpoints found that support image",
            re.IGNORECASE,
        ),
        "serves the model without the part that sees pictures",
        "serve a multimodal checkpoint with its vision part (llama.cpp: --mmproj FILE) and its own chat "
        "template",
    ),
    Refusal(
        "too-many-pictures",
        re.compile(
            r"at most (\d{1,6}) (?:image|picture|multi-?modal)|image=(\d{1,6})[^.]{0,60}limit-mm-per-prompt"
            r"|limit-mm-per-prompt|too many (?:images|pictures)|(?:number of|maximum) images?[^.]{0,30}exceed"
            r"|exceed(?:s|ed|ing)? [^.]{0,30}(?:number of images|image limit)",
            re.IGNORECASE,
        ),
        "takes {number} and was shown {pictures}",
        "serve it with more (vLLM: --limit-mm-per-prompt), or set most_pictures here to what it takes",
    ),
    Refusal(
        "prompt-too-long",
        re.compile(
            r"context[ _-]?(?:length|window|size|limit)|max_model_len|maximum (?:context|model length|input)"
            r"|too (?:long|many tokens)|exceed_context|context the overflows|context overflow"
            r"|completion tokens"
            r"|longer than the (?:maximum )?model|`?inputs`? tokens|max_new_tokens`? must be"
            r"|max_(?:completion_)?tokens must be (?:at least|greater)|prompt is too (?:long|large)|input"
            r" is too long",
            re.IGNORECASE,
        ),
        "refuses a prompt of {pictures}, about {tokens} tokens, and {reply} for the reply",
        "serve it with more context (vLLM: --max-model-len, llama.cpp: -c, Ollama: num_ctx), or set the "
        "smaller context_tokens or most_pictures here",
    ),
    TOO_LARGE,
    Refusal(
        "generator-rejected",
        re.compile(r"stream_options|include_usage", re.IGNORECASE),
        "refuses stream_options",
        "set streaming = false",
        without_stream_options,
    ),
    Refusal(
        "generator-rejected",
        _REPLY_LIMIT,
        "refuses a limit of the reply's tokens",
        "serve it with a version that knows max_tokens or max_completion_tokens",
        other_reply_limit,
    ),
    Refusal(
        "generator-rejected",
        _TEMPERATURE,
        "refuses the temperature",
        "set one that it takes, as body = {{ temperature = 1.0 }}",
        without_temperature,
    ),
    Refusal(
        "generator-rejected",
        re.compile(
            r"\bstream(?:ing)?\b[^.]{0,60}(?:not (?:yet )?(?:supported|implemented|available|allowed)"
            r"|unsupported)"
            r"|(?:not|n't) support (?:for )?stream|must be (?:set to )?false[^.]{0,30}\bstream\b",
            re.IGNORECASE,
        ),
        "does not stream replies",
        "set streaming = false",
        without_streaming,
    ),
    Refusal(
        "system-role-refused",
        re.compile(
            r"system (?:role|message|prompt|instruction)s?[^.]{0,40}(?:not |un|n't )(?:be )?(?:support"
            r"|allow|enabled)"
            r"|(?:not|n't) support (?:the |a )?system|roles must alternate|only (?:support|accept)s?"
            r" (?:the )?user"
            r"|(?:unknown|invalid|unsupported|unexpected) role|developer instruction is not enabled",
            re.IGNORECASE,
        ),
        "refuses the roles of the conversation",
        "serve the model with its own chat template",
        without_system,
    ),
    Refusal(
        "generator-template",
        re.compile(r"chat[_ -]?template|jinja|apply_chat_template|templateerror", re.IGNORECASE),
        "has no chat template that can take the prompt",
        "serve the model with its own chat template (vLLM: --chat-template, llama.cpp: --jinja)",
    ),
    Refusal(
        "generator-tls",
        re.compile(
            r"plain http request was sent to https|client sent an http request to an https", re.IGNORECASE
        ),
        "speaks TLS",
        "begin its url with https://",
    ),
    Refusal(
        "generator-model-unknown",
        re.compile(
            r"model\b[^.]{0,80}(?:not found|not exist|unknown|not loaded|no such)|pinned to|unknown model"
            r"|no models? loaded|model_not_found|(?:invalid|unexpected) model",
            re.IGNORECASE,
        ),
        "does not serve this model",
        "set model to one that it lists at /models, and check its url",
    ),
)


def refusal_of(message: str) -> tuple[Refusal, str] | None:
    """The first refusal that a message tells, and the number in it ("" where there is none)."""
    for refusal in REFUSALS:
        found = refusal.said.search(message)
        if found:
            return refusal, next((group for group in found.groups() if group), "")
    return None
