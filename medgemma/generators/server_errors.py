"""Answers of a server of chat completions that are no reply, as errors: what a person reads, and whether the
request is sent again.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.replies import RawReply
from medsiglip.medgemma.generators.request_body import Change
from medsiglip.medgemma.generators.server_refusals import TOO_LARGE, Refusal, refusal_of
from medsiglip.medgemma.prompting.prompts import Prompt

_EXAMINED = 4000
_SECONDS = re.compile(r"(\d{1,12})(?:\.\d{0,9})?")
_UNITS = ((86_400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


class RetryableError(Exception):
    """A failure that may not recur; `after` is the number of seconds to wait that the server requests, and
    `partial` what had come of a reply.
    """

    def __init__(
        self, error: DraftError, after: float | None = None, partial: RawReply | None = None
    ) -> None:
        super().__init__(error.code)
        self.error = error
        self.after = after
        self.partial = partial


class NotTakenError(Exception):
    """The server refused a part of the request that can be left out by `change`; `error` if it cannot."""

    def __init__(self, error: DraftError, change: Change) -> None:
        super().__init__(error.code)
        self.error = error
        self.change = change


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no reply. `status` is that of HTTP, or the code within the answer where that is one;
    `within`: it came in the place of a reply, with status 200.
    """

    status: int
    message: str
    after: float | None = None
    location: str = ""
    page: bool = False
    within: bool = False


def answer_of(response: httpx.Response, body: bytes) -> Answer:
    """Read an answer of another status than 200; of `body` its beginning is enough."""
    return Answer(
        response.status_code,
        message_of(body),
        retry_after(response),
        response.headers.get("location", ""),
        "text/html" in response.headers.get("content-type", ""),
    )


def answer_within(error: Any) -> Answer:
    """Read an error that stands where a reply should be: an object, or a text."""
    code = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 200
    return Answer(status, _words(error)[:_EXAMINED], within=True)


def message_of(body: bytes) -> str:
    """The server's own words in a body: those of `error`, `message`, `detail` and `type` if it is JSON."""
    text = body.decode("utf-8", "replace")
    try:
        return _words(json.loads(text))[:_EXAMINED]
    except (ValueError, RecursionError):
        return text[:_EXAMINED]


def _words(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and depth < 5:
        names = ("error", "message", "msg", "detail", "type", "code", "param", "loc")
        return " ".join(_words(value[name], depth + 1) for name in names if name in value)
    if isinstance(value, list) and depth < 5:
        return " ".join(_words(one, depth + 1) for one in value[:20])
    return ""


def retry_after(response: httpx.Response) -> float | None:
    """Seconds of the header Retry-After, as a number or a date (RFC 9110, 10.2.3); None without it, and for
    what is neither.
    """
    value = response.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value, 0, 30):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def response_error(model: str, answer: Answer, prompt: Prompt) -> Exception:
    """The error of an answer: a RetryableError if it may pass, a NotTakenError if something can be left out,
    else a DraftError.
    """
    if answer.status in (401, 403, 407):
        return DraftError(
            "generator-unauthorised",
            f"The server of {model} refuses the API key ({answer.status}); set the key that it was started "
            "with.",
        )
    if 300 <= answer.status < 400:
        return DraftError(
            "generator-redirect",
            f"The server of {model} sends requests on{_elsewhere(answer.location)} ({answer.status}), and "
            "pictures go to no other address than the one that is set; set the url that it sends to, if "
            "that is right.",
        )
    known = refusal_of(answer.message)
    if known is not None and not (answer.status == 429 and known[0].code != "generator-quota"):
        return _known(model, answer, prompt, *known)
    return _by_status(model, answer, prompt)


def _known(model: str, answer: Answer, prompt: Prompt, refusal: Refusal, number: str) -> Exception:
    told = f"{number} picture{'' if number == '1' else 's'}" if number else "fewer pictures"
    values = {
        "pictures": _pictures(prompt),
        "tokens": prompt.prompt_tokens,
        "reply": prompt.reply_tokens,
        "number": told,
    }
    error = DraftError(
        refusal.code,
        f"The server of {model} {refusal.reason.format(**values)}{_status(answer)}; "
        f"{refusal.cure.format(**values)}.",
        may_pass=refusal.may_pass,
    )
    if refusal.change is not None:
        return NotTakenError(error, refusal.change)
    return RetryableError(error, answer.after) if refusal.may_pass else error


def _by_status(model: str, answer: Answer, prompt: Prompt) -> Exception:
    status = answer.status
    if status == 429:
        sentence = f"The server of {model} is too busy (429){_wait(answer)}; try again later."
        return RetryableError(DraftError("generator-busy", sentence, may_pass=True), answer.after)
    if status == 402:
        return DraftError(
            "generator-quota", f"The server of {model} wants to be paid first (402); raise its quota."
        )
    if status == 413:
        return _known(model, answer, prompt, TOO_LARGE, "")
    if status in (408, 425) or (status >= 500 and status not in (501, 505)) or status == 200:
        what = "an error within its reply" if status == 200 else f"status {status}"
        return RetryableError(_failed(model, what, answer), answer.after)
    if status in (404, 405, 410):
        return DraftError(
            "generator-model-unknown",
            f"The server does not serve the model {model} ({status}); name one that it does, and check its "
            "URL.",
        )
    return DraftError(
        "generator-rejected",
        f"The server of {model} rejects the request ({status}); check its log, and that it takes several "
        "pictures.",
    )


def _failed(model: str, what: str, answer: Answer) -> DraftError:
    if answer.page and answer.status in (502, 503, 504):
        sentence = (
            f"A proxy answers for the server of {model}, which is away ({what}); start it and try again."
        )
    elif re.search(r"\bloading\b", answer.message, re.IGNORECASE):
        sentence = f"The server of {model} is still loading it ({what}){_wait(answer)}; try again later."
    else:
        sentence = f"The server of {model} failed ({what}){_wait(answer)}; look at its log and try again."
    return DraftError("generator-failed", sentence, may_pass=True)


def unanswered(model: str) -> DraftError:
    """The error of a connection that the server closed before it answered."""
    return DraftError(
        "generator-failed",
        f"The server of {model} closed the connection without an answer; look at its log, and begin its url "
        "with https:// if it speaks TLS.",
        may_pass=True,
    )


def web_page(model: str) -> DraftError:
    """The error of a web page in the place of a reply: a login page, or the address of something else."""
    return DraftError(
        "generator-web-page",
        f"At the URL of {model} a web page answers, such as a login page of the network; log in there, let "
        "the address past the proxy, or correct the generator's URL.",
    )


def connection_error(model: str, url: str, error: BaseException) -> Exception:
    """The error of a connection that could not be made: TLS is refused for good, the rest may pass."""
    cause: BaseException | None = error
    for _ in range(10):
        if isinstance(cause, ssl.SSLError):
            return DraftError("generator-tls", _why_no_tls(model, cause))
        if cause is None:
            break
        cause = cause.__cause__ or cause.__context__
    return RetryableError(
        DraftError(
            "generator-down",
            f"No server answers at {url}; start it, or correct the generator's URL.",
            may_pass=True,
        )
    )


def _why_no_tls(model: str, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == 62 or "mismatch" in str(error).lower():  # X509_V_ERR_HOSTNAME_MISMATCH
            return (
                f"The certificate of the server of {model} is made out to another host; set its url to the "
                "host that the certificate names."
            )
        if error.verify_code in (9, 10):  # not yet valid, expired
            return f"The certificate of the server of {model} has expired or is not valid yet; renew it."
        return (
            f"The certificate of the server of {model} comes from an authority that is not trusted"
            f" here; name "
            "a file with the authority's certificate as ca_file."
        )
    return (
        f"The server of {model} speaks no TLS that can be used here; begin its url with http:// if it has "
        "none, or set up a current version there."
    )


def _wait(answer: Answer) -> str:
    """What the server says of how long to wait, from a minute on."""
    return "" if answer.after is None or answer.after < 60 else f" and says to wait {spelled(answer.after)}"


def spelled(seconds: float) -> str:
    """A duration in its largest unit that fits, rounded up: `2 hours`."""
    for size, name in _UNITS:
        if seconds >= size:
            count = -int(-seconds // size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "1 second"


def _elsewhere(location: str) -> str:
    """Host and port of a Location; its path and query may hold what is secret."""
    try:
        parts = urlsplit(location)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f" to {parts.scheme}://{host}{port}" if re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", host) else ""


def _status(answer: Answer) -> str:
    return "" if answer.within and answer.status == 200 else f" ({answer.status})"


def _pictures(prompt: Prompt) -> str:
    count = sum(not isinstance(part, str) for part in prompt.parts)
    return f"{count} picture{'' if count == 1 else 's'}"
