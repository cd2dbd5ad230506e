"""The right outcome of each situation that the scripted server of the shared cases plays.

A situation ends in a good draft, in an incomplete one that a person has to complete, or in a refusal with
its reason; `requests` is how often the server is to be asked with four tries. The outcomes were decided from
what each situation means for a reader of the draft, not from what the code does.
"""

from __future__ import annotations

from dataclasses import dataclass

TRIES = 4


@dataclass(frozen=True)
class Good:
    """A whole draft: the server's good text, or one that has all of `parts` and none of `without`.

    `thinking` is in the thought; `again` is how often the server is asked for a second draft.
    """

    requests: int = 1
    thinking: str = ""
    parts: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    again: int = 0


@dataclass(frozen=True)
class Incomplete:
    """The beginning of the good text, marked with the reason for which it is not whole."""

    reason: str
    requests: int = 1


@dataclass(frozen=True)
class Refused:
    """No draft; `cure` is in the message."""

    code: str
    cure: str
    requests: int = 1
    may_pass: bool = False


Outcome = Good | Incomplete | Refused

_TOO_LONG = Refused("prompt-too-long", "context_tokens")
_MANY = Refused("too-many-pictures", "most_pictures")
_LOOP = Refused("reply-looping", "repetition_penalty")
_SIGNS = Refused("reply-looping", "bfloat16")
_LEARNED = Good(requests=2, again=1)
OUTCOMES: dict[str, Outcome] = {
    "good": Good(),
    "identical": Good(),
    # What a server does not take is left out, now and at the next draft.
    "system_refused_400": _LEARNED,
    "system_refused_500_jinja": _LEARNED,
    "stream_options_refused": _LEARNED,
    "max_tokens_refused": _LEARNED,
    "temperature_refused": _LEARNED,
    # What no second request cures is told at once, with the setting to change.
    "images_at_most_1": _MANY,
    "images_limit_old_words": _MANY,
    "ctx_vllm": _TOO_LONG,
    "ctx_vllm_decoder": _TOO_LONG,
    "ctx_llamacpp": _TOO_LONG,
    "ctx_llamacpp_500": _TOO_LONG,
    "ctx_tgi": _TOO_LONG,
    "ctx_sse_error_200": _TOO_LONG,
    "error_object_200": _TOO_LONG,
    "no_vision_500": Refused("generator-without-vision", "mmproj"),
    "ollama_truncated": Refused("prompt-cut", "num_ctx"),
    "429_quota": Refused("generator-quota", "quota"),
    "model_404": Refused("generator-model-unknown", "model"),
    "413": Refused("request-too-large", "client_max_body_size", requests=2),  # the second one with JPEG
    "html_200": Refused("generator-web-page", "log in"),
    "redirect": Refused("generator-redirect", "url"),
    "429_retry_day": Refused("generator-busy", "1 day", may_pass=True),
    # What may pass is tried again.
    "429_then_good": Good(requests=3),
    "429_retry_float": Good(requests=2),
    "loading_503": Good(requests=3),
    "reset_once": Good(requests=2),
    "429_retry_huge_date": Refused("generator-busy", "try again later", TRIES, may_pass=True),
    "nginx_html_502": Refused("generator-failed", "start it", TRIES, may_pass=True),
    "error_body_200": Refused("generator-out-of-memory", "memory", TRIES, may_pass=True),
    "gzip_bad": Refused("reply-broken", "URL", TRIES, may_pass=True),
    "choices_null": Refused("reply-broken", "choices", TRIES, may_pass=True),
    "no_done_no_finish": Refused("reply-cut-off", "log", TRIES, may_pass=True),  # one word without blanks
    "reset": Refused("reply-cut-off", "log", TRIES, may_pass=True),
    "empty_stream_done": Refused("reply-cut-off", "log", TRIES, may_pass=True),
    # A cut-off text never looks complete; a server that failed at it is asked again first.
    "length": Incomplete("length"),
    "loop_newlines": Incomplete("length"),
    "abort": Incomplete("abort", TRIES),
    "error_finish": Incomplete("error", TRIES),
    "done_no_finish": Incomplete("none"),
    # Thoughts are split off where their end is certain.
    "thinking": Good(thinking="pneumothorax"),
    "thinking_no_begin": Good(thinking="Let me see"),
    "think_xml": Good(thinking="pneumothorax"),
    "think_gemma4": Good(thinking="pneumothorax"),
    "reasoning_content": Good(thinking="I think of it"),
    "reasoning_dict": Good(thinking="I think"),
    "thinking_tokens_stripped": Refused("reply-empty", "special tokens"),
    # Odd forms of a good reply are read.
    "content_list": Good(),
    "content_list_stream": Good(),
    "no_stream_json": Good(),
    "no_stream_plain": Good(),
    "comments": Good(),
    "bom_crlf": Good(parts=("GOOD",)),
    "no_done": Good(),
    "usage_each_chunk": Good(),  # five tokens are fewer than any turn's marks: a count that tells nothing
    "gzip": Good(),
    "http10": Good(),
    "reset_after_finish": Good(),
    "n2_choices": Good(),
    "pings_40s": Good(parts=(" is normal.",)),
    "non_utf8": Good(parts=("Caf\u00e9 ", "no effusion."), without=("\ufffd",)),
    "surrogate": Good(parts=("effusion \U0001f600 seen",)),
    "surrogate_alone": Good(parts=("effusion seen",)),
    "nul": Good(parts=("effusion red seen",)),
    "latex": Good(parts=("$\\frac{1}{2}$", "no effusion", "\\\\ done.")),
    # What is no report is refused with the reason.
    "content_null": Refused("reply-empty", "no text"),
    "loop": _LOOP,
    "loop_word": _LOOP,
    "long_sentence": _LOOP,
    "long_word": _LOOP,
    "bangs": _SIGNS,
    "pads": _SIGNS,
    "refusal_field": Refused("reply-refused", "medical model"),
    "refusal_text": Refused("reply-refused", "medical model"),
    "no_image_text": Refused("reply-asks-for-picture", "vision part"),
    "echo_prompt": Refused("reply-echoes-prompt", "chat template"),
    "other_patient": Refused("reply-names-a-patient", "evidence-only"),
    # The report stays, and what is no part of it goes.
    "disclaimer": Good(parts=("**Findings:**", "\n* No "), without=("Okay", "Disclaimer", "advice")),
    "inject_html": Good(
        parts=("no pleural effusion", "# Heading", "~~no~~ effusion"),
        without=("<", "alert", "javascript", "http", "leak", "!["),
    ),
    "unicode": Good(parts=("effusion \u2264 5 mm \u00b1 2\u00b0",)),
}
"""One outcome for every situation. `GOOD` among parts stands for the good text. A text in many scripts is
kept, because a part of it is English; the checks mark its other sentences.
"""
