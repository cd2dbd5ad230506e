"""How requests to a server of chat completions are made: time limits, repetitions, certificates and extra
fields; and these options read from the settings of a generator.
"""

from __future__ import annotations

import json
import random
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import urlsplit

import httpx

from medsiglip.index.errors import excerpt
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.prompting.pictures import PictureFormat

_LONGEST_LIMIT = 86_400.0
_MOST_RETRIES = 20
_LONGEST_SECRET = 16_384
# RFC 9110, 5.1 and 5.5: a name is a token, a value visible ASCII with blanks between.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?")
_HEADERS_OF_REQUESTS = frozenset(
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"]
)
_BODY_OF_PROMPTS = frozenset(
    ["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"]
)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds. `first_token` counts from the sending of a request, upload included, and again from each sign
    of life before the first word; `total` is over all tries.
    """

    connect: float = 5.0
    first_token: float = 180.0
    between_tokens: float = 30.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent in total, and how long the waits between may be (seconds).

    The n-th wait is random in the upper half of first_wait * 2^n, bounded by longest_wait; Retry-After
    (RFC 9110, 10.2.3) takes precedence.
    """

    tries: int = 4
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def wait(self, failures: int, requested: float | None) -> float:
        """Seconds to wait after that many failures; `requested` is the server's Retry-After."""
        if requested is not None:
            return requested
        return min(self.longest_wait, self.first_wait * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How requests are made; `picture_format` is png (no loss) or jpeg (about a tenth of the bytes).

    `ca_file` holds certificates (PEM) that are trusted beside the system's. `headers` and `body` are sent in
    addition, the latter as fields of the JSON. Without `streaming` a reply is awaited whole.
    `check_prompt_tokens` compares the server's count of the prompt with what the prompt takes at least.
    """

    api_key: str | None = field(default=None, repr=False)
    picture_format: PictureFormat = "png"
    limits: TimeLimits = TimeLimits()
    retries: Retries = Retries()
    seconds_ready: float = 300.0
    seconds_unready: float = 15.0
    ca_file: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    streaming: bool = True
    check_prompt_tokens: bool = True


FIELDS: Mapping[str, type] = {
    "url": str,
    "key_file": str,
    "timeouts": dict,
    "retries": int,
    "picture_format": str,
    "ca_file": str,
    "headers": dict,
    "body": dict,
    "streaming": bool,
    "check_prompt_tokens": bool,
}
"""The settings of a server of chat completions, with their types in TOML."""


def options_of(name: str, own: Mapping[str, Any]) -> ServerOptions:
    """The options that the checked settings `own` of generator `name` describe; files are read here.

    Raises DraftError `bad-generators` for a file that cannot be read or used.
    """
    key = _secret(name, "the key", own["key_file"]) if "key_file" in own else None
    headers = tuple(
        (header, value if isinstance(value, str) else _secret(name, f"the header {header}", value["file"]))
        for header, value in own.get("headers", {}).items()
    )
    options = ServerOptions(
        api_key=key,
        picture_format=own.get("picture_format", "png"),
        limits=TimeLimits(**own.get("timeouts", {})),
        retries=Retries(tries=own.get("retries", Retries().tries - 1) + 1),
        ca_file=own.get("ca_file"),
        headers=headers,
        body=own.get("body", {}),
        streaming=own.get("streaming", True),
        check_prompt_tokens=own.get("check_prompt_tokens", True),
    )
    if options.ca_file is not None:
        try:
            trusted(options.ca_file)
        except (OSError, ValueError, RuntimeError):  # the last of a home folder that nobody has
            raise DraftError(
                "bad-generators",
                f"the certificates of generator {name} in {options.ca_file} cannot be read; give ca_file a "
                "PEM file that this program may read.",
            ) from None
    return options


def trusted(ca_file: str | None) -> ssl.SSLContext:
    """The system's certificates, among them a hospital's own authority, not a list bundled with Python; and
    those of `ca_file` (PEM). Raises OSError (ssl.SSLError among it) for a file that cannot be used.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(Path(ca_file).expanduser())
    return context


def checked_url(url: str) -> str:
    """The address below which `/chat/completions` is. Raises DraftError `bad-generator-url`."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        # Names that urlsplit takes and httpx does not, such as those that IDNA forbids.
        usable = usable and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable or parts.username or parts.query or parts.fragment:
        raise DraftError(
            "bad-generator-url",
            "The generator's URL cannot be used; give it as http://HOST:PORT/v1, and the key apart from it.",
        )
    return url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"


def _secret(name: str, what: str, file: str) -> str:
    try:
        found = Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RuntimeError):  # the last of a home folder that nobody has
        raise DraftError("bad-generators", f"{what} of generator {name} in {file} cannot be read.") from None
    if not _HEADER_VALUE.fullmatch(found) or len(found) > _LONGEST_SECRET:
        raise DraftError(
            "bad-generators",
            f"{what} of generator {name} in {file} cannot be sent; the file must hold one line of ASCII.",
        )
    return found


# Checks of single settings. Values of headers are never repeated, because they may be keys.


def _check_timeouts(value: Mapping[str, Any]) -> None:
    known = [one.name for one in fields(TimeLimits)]
    for key, seconds in value.items():
        number = type(seconds) in (int, float)
        if key not in known or not number or not 0 < seconds <= _LONGEST_LIMIT:
            raise _wrong(
                f"{excerpt(key)} cannot be used; use {', '.join(known)}, in seconds above 0 and up to "
                f"{_LONGEST_LIMIT:.0f}."
            )


def _check_retries(value: int) -> None:
    if not 0 <= value <= _MOST_RETRIES:
        raise _wrong(f"it must be from 0 to {_MOST_RETRIES}, not {value}.")


def _check_format(value: str) -> None:
    if value not in get_args(PictureFormat):
        raise _wrong(f"{excerpt(value)} is not known; use {' or '.join(get_args(PictureFormat))}.")


def _check_headers(value: Mapping[str, Any]) -> None:
    for header, content in value.items():
        if not _HEADER_NAME.fullmatch(header) or header.lower() in _HEADERS_OF_REQUESTS:
            raise _wrong(f"a header {excerpt(header)} cannot be sent; leave it out.")
        in_file = isinstance(content, dict) and [type(one) for one in content.values()] == [str]
        if not (in_file and "file" in content) and not (
            isinstance(content, str) and _HEADER_VALUE.fullmatch(content)
        ):
            raise _wrong(
                f"the value of {excerpt(header)} cannot be sent; give a line of ASCII, or"
                f' {{ file = "PATH" }}.'
            )


def _check_body(value: Mapping[str, Any]) -> None:
    for key in value:
        if key in _BODY_OF_PROMPTS:
            raise _wrong(f"{key} is set by the prompt and the other settings; leave it out.")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise _wrong("it has a value that JSON has not, such as a date; use texts and numbers.") from None


def _wrong(message: str) -> DraftError:
    return DraftError("bad-generators", message)


CHECKS: Mapping[str, Callable[[Any], object]] = {
    "url": lambda url: checked_url(cast(str, url)),
    "timeouts": _check_timeouts,
    "retries": _check_retries,
    "picture_format": _check_format,
    "headers": _check_headers,
    "body": _check_body,
}
