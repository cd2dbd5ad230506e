"""A generator behind OpenAI's chat completions: vLLM, `transformers serve` and others.

Each call is a stream on a connection of its own, read in an event loop of its own, because only a stream that
is awaited can be dropped at once when it is cancelled or late. Nothing of a prompt or reply is logged.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.chat_stream import (
    ChatStream,
    RetryableError,
    response_error,
    retry_after,
)
from medsiglip.medgemma.generators.generators import (
    Cancelled,
    GeneratorKind,
    GeneratorSettings,
    Readiness,
    cancellation,
    never,
)
from medsiglip.medgemma.generators.readiness import RememberedReadiness, try_two_pictures
from medsiglip.medgemma.generators.replies import Reply, read_reply
from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.pictures import PictureFormat, data_uri
from medsiglip.medgemma.prompting.prompts import Prompt

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds. `first_token` counts from the sending of a request, upload included; `total` is over all
    tries.
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
    """How requests are made; `picture_format` is png (no loss) or jpeg (about a tenth of the bytes)."""

    api_key: str | None = field(default=None, repr=False)
    picture_format: PictureFormat = "png"
    limits: TimeLimits = TimeLimits()
    retries: Retries = Retries()
    seconds_ready: float = 300.0
    seconds_unready: float = 15.0


class OpenAIServer:
    """One model of one server; safe to call from several threads, each call independent.

    `url` is the address below which `/chat/completions` is, `http://host:8000/v1`; `/v1` is added where it
    has no path. No redirect is followed and no proxy of the environment used: pictures go to that host only.
    Raises DraftError `bad-generator-url`.
    """

    def __init__(
        self, url: str, model: str, budget: Budget | None = None, options: ServerOptions | None = None
    ) -> None:
        self.name = model
        self.model = model
        self.budget = budget or Budget()
        self.url = _checked(url)
        self._options = options or ServerOptions()
        self._readiness = RememberedReadiness(
            self._probe, self._options.seconds_ready, self._options.seconds_unready
        )

    def generate(self, prompt: Prompt, *, cancelled: Cancelled = never) -> Reply:
        """See `Generator.generate`. Further codes, those with * may pass: `generator-down`*,
        `generator-busy`*, `generator-failed`*, `generator-timeout`*, `reply-cut-off`*, `reply-broken`*,
        `generator-unauthorised`, `generator-model-unknown`, `generator-rejected`.
        """
        return asyncio.run(self._watched(prompt, cancelled, self._options.retries))

    def ready(self) -> Readiness:
        """See `Generator.ready`. Codes are those of `generate`, `image-blind`, and `context-too-small`."""
        return self._readiness()

    def _probe(self) -> Readiness:
        once = Retries(tries=1)
        served = asyncio.run(self._served_context())
        if served is not None and served < self.budget.context_tokens:
            return Readiness(
                False,
                "context-too-small",
                f"{self.model} is served with a context of {served} tokens, and prompts are made for "
                f"{self.budget.context_tokens}; serve it with more, or set the smaller number here.",
                self.model,
            )
        return try_two_pictures(lambda prompt: asyncio.run(self._watched(prompt, never, once)), self.budget)

    async def _watched(self, prompt: Prompt, cancelled: Cancelled, retries: Retries) -> Reply:
        """Run the tries, and check `cancelled` and the total time limit meanwhile."""
        if cancelled():
            raise cancellation()
        work = asyncio.ensure_future(self._tries(prompt, retries))
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.limits.total
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=_POLL_SECONDS)
                if work.done():
                    break
                if cancelled():
                    raise cancellation()
                if loop.time() > end:
                    raise self._late("finished its reply", self._options.limits.total)
            return work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _tries(self, prompt: Prompt, retries: Retries) -> Reply:
        body = self._body(prompt)
        limits = self._options.limits
        loop = asyncio.get_running_loop()
        end = loop.time() + limits.total
        async with self._client() as client:
            for failures in range(1, retries.tries + 1):
                try:
                    return await self._once(client, body, prompt)
                except RetryableError as retry:
                    wait = retries.wait(failures, retry.after)
                    if failures == retries.tries or loop.time() + wait > end:
                        raise retry.error from None
                    _log.warning("%s: %s, try %d, next in %.1f s", self.url, retry.error.code, failures, wait)
                    await asyncio.sleep(wait)
        raise AssertionError("tries is at least 1")

    async def _once(self, client: httpx.AsyncClient, body: Mapping[str, Any], prompt: Prompt) -> Reply:
        limits = self._options.limits
        loop = asyncio.get_running_loop()
        stream = ChatStream(self.model)
        try:
            async with (
                asyncio.timeout(limits.first_token) as limit,
                client.stream("POST", f"{self.url}/chat/completions", json=body) as response,
            ):
                if response.status_code != 200:
                    raise response_error(
                        self.model,
                        response.status_code,
                        await response.aread(),
                        retry_after(response),
                        prompt,
                    )
                if response.headers.get("content-type", "").startswith("application/json"):
                    stream.whole(await response.aread())
                else:
                    async for line in _lines(response):
                        if stream.take(line):
                            limit.reschedule(loop.time() + limits.between_tokens)
        except TimeoutError:
            if stream.ended:  # what was still to come is the count of tokens
                pass
            elif stream.tokens:
                raise self._late("written another word", limits.between_tokens) from None
            else:
                raise self._late("begun its reply", limits.first_token) from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise RetryableError(self._down()) from None
        except httpx.TransportError:
            if not stream.ended:
                raise RetryableError(stream.cut_off()) from None
        except httpx.HTTPError as error:
            raise RetryableError(stream.broken(type(error).__name__)) from None
        if not stream.ended:
            raise RetryableError(stream.cut_off())
        return read_reply(
            stream.text,
            model=stream.model,
            finish_reason=stream.finish_reason,
            thinking=stream.thinking,
            prompt_tokens=stream.prompt_tokens,
            completion_tokens=stream.completion_tokens,
        )

    async def _served_context(self) -> int | None:
        """The `max_model_len` that vLLM lists for the model; None where a server lists none."""
        try:
            async with self._client() as client:
                answer = await client.get(f"{self.url}/models", timeout=self._options.limits.connect)
            listed = answer.json()["data"] if answer.status_code == 200 else []
            lengths = [one.get("max_model_len") for one in listed if one["id"] == self.model]
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
            return None
        return lengths[0] if lengths and isinstance(lengths[0], int) else None

    def _client(self) -> httpx.AsyncClient:
        key = self._options.api_key
        return httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=self._options.limits.connect),
            trust_env=False,
            verify=_trusted_by_system() if self.url.startswith("https:") else False,
        )

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        content = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {
                "type": "image_url",
                "image_url": {"url": data_uri(part, self._options.picture_format)},
            }
            for part in prompt.parts
        ]
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        return {
            "model": self.model,
            "messages": [*system, {"role": "user", "content": content}],
            "max_tokens": prompt.reply_tokens,
            "temperature": prompt.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def _late(self, what: str, seconds: float) -> DraftError:
        return DraftError(
            "generator-timeout",
            f"{self.model} had not {what} after {seconds:g} s; try again when it is less busy, or raise the "
            "limit.",
            may_pass=True,
        )

    def _down(self) -> DraftError:
        return DraftError(
            "generator-down",
            f"No server answers at {self.url}; start it, or correct the generator's URL.",
            may_pass=True,
        )


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """Lines of an event stream, which end in LF or CRLF: a reply may hold U+2028 and the like as they are."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").removesuffix("\r")
        if len(rest) > _LONGEST_LINE:
            raise httpx.DecodingError("a line without an end")
    yield rest.decode("utf-8", "replace")


def _trusted_by_system() -> ssl.SSLContext:
    """The system's certificates, among them a hospital's own authority, not a list bundled with Python."""
    return ssl.create_default_context()


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise DraftError(
            "bad-generator-url",
            "The generator's URL cannot be used; give it as http://HOST:PORT/v1, and the key apart from it.",
        )
    return url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"


def _configured(settings: GeneratorSettings) -> OpenAIServer:
    own = dict(settings.own)
    key = _read_key(settings.name, own["key_file"]) if "key_file" in own else None
    return OpenAIServer(own["url"], settings.model, settings.budget, ServerOptions(api_key=key))


def _read_key(name: str, file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError):  # the last of a home folder that nobody has
        raise DraftError("bad-generators", f"the key of generator {name} in {file} cannot be read.") from None


KIND = GeneratorKind("openai", {"url": str, "key_file": str}, _configured, required=("url",))
