"""A generator behind OpenAI's chat completions: vLLM, `transformers serve` and others.

Each call is a stream on a connection of its own, read in an event loop of its own, because only a stream that
is awaited can be dropped at once when it is cancelled or late. Nothing of a prompt or reply is logged.
"""

from __future__ import annotations

import asyncio
import logging

import httpx

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.chat_stream import ChatStream, StreamedError
from medsiglip.medgemma.generators.generators import (
    Cancelled,
    GeneratorKind,
    GeneratorSettings,
    Readiness,
    cancellation,
    never,
)
from medsiglip.medgemma.generators.readiness import RememberedReadiness, try_two_pictures
from medsiglip.medgemma.generators.replies import RawReply, Reply, cut_off, read_reply
from medsiglip.medgemma.generators.request_body import Remembered, Taken, request_body, sent_of
from medsiglip.medgemma.generators.server_errors import (
    NotTakenError,
    RetryableError,
    answer_of,
    connection_error,
    response_error,
    unanswered,
)
from medsiglip.medgemma.generators.server_options import (
    CHECKS,
    FIELDS,
    Retries,
    ServerOptions,
    TimeLimits,
    checked_url,
    options_of,
    trusted,
)
from medsiglip.medgemma.prompting.budget import Budget, is_cut
from medsiglip.medgemma.prompting.prompts import Prompt

__all__ = ["KIND", "OpenAIServer", "Retries", "ServerOptions", "TimeLimits"]

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_MOST_ERROR_BYTES = 1 << 16
# The finish reasons of a server that failed at this reply, and may not fail at the next.
_FAILED = frozenset(["abort", "aborted", "error", "cancelled", "canceled", "failed", "timeout"])
_BROKEN = "connection"


class OpenAIServer:
    """One model of one server; safe to call from several threads, each call independent.

    `url` is the address below which `/chat/completions` is, `http://host:8000/v1`; `/v1` is added where it
    has no path. No redirect is followed and no proxy of the environment used: pictures go to that host only.
    Raises DraftError `bad-generator-url`.
    """

    def __init__(
        self,
        url: str,
        model: str,
        budget: Budget | None = None,
        options: ServerOptions | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        self.name = model
        self.model = model
        self.budget = budget or Budget()
        self.url = checked_url(url)
        self._options = options or ServerOptions()
        self._remembered = remembered or Remembered(_wanted(self._options))
        self._readiness = RememberedReadiness(
            self._probe, self._options.seconds_ready, self._options.seconds_unready
        )

    def generate(self, prompt: Prompt, *, cancelled: Cancelled = never) -> Reply:
        """See `Generator.generate`. Further codes, those with * may pass: `generator-down`*,
        `generator-busy`*, `generator-failed`*, `generator-timeout`*, `generator-out-of-memory`*,
        `reply-cut-off`*, `reply-broken`*, `generator-unauthorised`, `generator-redirect`, `generator-tls`,
        `generator-web-page`, `generator-rejected`, `prompt-cut`, and those of `server_refusals.REFUSALS`.

        What the server refuses and a request can do without is left out, now and from then on. A reply that
        broke off is requested again; where none comes whole the longest is returned, `incomplete`.
        """
        return asyncio.run(self._watched(prompt, cancelled, self._options.retries))

    def ready(self) -> Readiness:
        """See `Generator.ready`. Codes are those of `generate`, `image-blind`, and `context-too-small`."""
        return self._readiness()

    def _probe(self) -> Readiness:
        served = asyncio.run(self._served_context())
        if served is not None and served < self.budget.context_tokens:
            return Readiness(
                False,
                "context-too-small",
                f"{self.model} is served with a context of {served} tokens, and prompts are made for "
                f"{self.budget.context_tokens}; serve it with more, or set the smaller number here.",
                self.model,
            )
        return try_two_pictures(
            lambda prompt: asyncio.run(self._watched(prompt, never, self._options.retries)), self.budget
        )

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
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.limits.total
        partial: list[RawReply] = []
        async with self._client() as client:
            for failures in range(1, retries.tries + 1):
                try:
                    return await self._adapted(client, prompt)
                except RetryableError as retry:
                    if retry.partial is not None:
                        partial.append(retry.partial)
                    wait = retries.wait(failures, retry.after)
                    if failures == retries.tries or loop.time() + wait > end:
                        return self._left(retry, partial, prompt)
                    _log.warning("%s: %s, try %d, next in %.1f s", self.url, retry.error.code, failures, wait)
                    await asyncio.sleep(wait)
        raise AssertionError("tries is at least 1")

    def _left(self, retry: RetryableError, partial: list[RawReply], prompt: Prompt) -> Reply:
        """The longest of the replies that broke off. Raises the last error where nothing is left."""
        if retry.partial is None:
            raise retry.error from None
        try:
            return self._read(max(partial, key=lambda raw: len(raw.text)), prompt)
        except DraftError as error:
            raise (retry.error if error.code in ("reply-cut-off", "reply-empty") else error) from None

    async def _adapted(self, client: httpx.AsyncClient, prompt: Prompt) -> Reply:
        """Send the request, and again without what the server does not take."""
        while True:
            sent = sent_of(self._remembered.taken, prompt, self._options.body)
            try:
                return await self._once(client, sent, prompt)
            except NotTakenError as refused:
                if not self._remembered.leave_out(sent, refused.change):
                    raise refused.error from None
                what = refused.change.__name__.replace("_", " ")
                _log.warning("%s: %s, sent again %s", self.url, refused.error.code, what)

    async def _once(self, client: httpx.AsyncClient, sent: Taken, prompt: Prompt) -> Reply:
        limits = self._options.limits
        stream = ChatStream(self.model)
        first = limits.first_token if sent.stream else limits.total
        body = request_body(self.model, prompt, sent, self._options.body)
        try:
            async with (
                asyncio.timeout(first) as limit,
                client.stream("POST", f"{self.url}/chat/completions", json=body) as response,
            ):
                await self._receive(response, stream, limit, prompt)
        except TimeoutError:
            if not stream.ended:  # else what was still to come is the count of tokens
                raise self._timeout(stream, first) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise connection_error(self.model, self.url, error) from None
        except httpx.TransportError:
            if not stream.answered:
                raise RetryableError(unanswered(self.model)) from None
            if not stream.ended:
                raise RetryableError(cut_off(self.model), partial=stream.raw(_BROKEN)) from None
        except httpx.HTTPError as error:
            if not stream.ended:
                raise RetryableError(stream.broken(type(error).__name__)) from None
        except StreamedError as error:
            raise response_error(self.model, error.answer, prompt) from None
        if not stream.ended:
            raise RetryableError(cut_off(self.model), partial=stream.raw(_BROKEN))
        raw = stream.raw()
        failed = (raw.finish_reason or "").lower() in _FAILED
        if failed or (raw.finish_reason is None and not stream.tokens):
            raise RetryableError(cut_off(self.model), partial=raw)
        return self._read(raw, prompt)

    async def _receive(
        self, response: httpx.Response, stream: ChatStream, limit: asyncio.Timeout, prompt: Prompt
    ) -> None:
        """Read an answer into `stream`; each sign of life postpones the time limit."""
        if response.status_code != 200:
            raise response_error(self.model, answer_of(response, await _beginning(response)), prompt)
        stream.answered = True
        stream.may_be_page = "text/event-stream" not in response.headers.get("content-type", "")
        limits, loop = self._options.limits, asyncio.get_running_loop()
        async for data in response.aiter_bytes():
            if stream.feed(data):
                wait = limits.between_tokens if stream.tokens else limits.first_token
                limit.reschedule(loop.time() + wait)
        stream.close()

    def _read(self, raw: RawReply, prompt: Prompt) -> Reply:
        texts = [prompt.system or "", *(part for part in prompt.parts if isinstance(part, str))]
        pictures = sum(not isinstance(part, str) for part in prompt.parts)
        counted, tokens = raw.prompt_tokens, self.budget.tokens_per_picture
        if (
            counted is not None
            and self._options.check_prompt_tokens
            and is_cut(counted, texts, pictures, tokens, prompt.prompt_tokens)
        ):
            raise DraftError(
                "prompt-cut",
                f"The server of {raw.model} read {counted} tokens of a prompt of {pictures} pictures and "
                f"about {prompt.prompt_tokens} tokens: it cut the prompt or dropped pictures; serve it with "
                "more context (Ollama: num_ctx) and its vision part. If it counts no pictures, set "
                "check_prompt_tokens = false.",
            )
        return read_reply(raw, prompt)

    async def _served_context(self) -> int | None:
        """The `max_model_len` that vLLM lists for the model; None where a server lists none."""
        try:
            async with asyncio.timeout(self._options.limits.connect), self._client() as client:
                answer = await client.get(f"{self.url}/models")
            listed = answer.json()["data"] if answer.status_code == 200 else []
            lengths = [one.get("max_model_len") for one in listed if one["id"] == self.model]
        except (DraftError, httpx.HTTPError, TimeoutError, RecursionError, ValueError):
            return None
        except (LookupError, TypeError, AttributeError):  # an answer of another form
            return None
        return lengths[0] if lengths and isinstance(lengths[0], int) else None

    def _client(self) -> httpx.AsyncClient:
        key, ca_file = self._options.api_key, self._options.ca_file
        try:
            context = trusted(ca_file) if self.url.startswith("https:") else False
        except (OSError, ValueError, RuntimeError):
            raise DraftError("generator-tls", f"{ca_file} has no certificates that can be read.") from None
        return httpx.AsyncClient(
            headers=[*self._options.headers, *([("Authorization", f"Bearer {key}")] if key else [])],
            timeout=httpx.Timeout(None, connect=self._options.limits.connect),
            trust_env=False,
            verify=context,
        )

    def _timeout(self, stream: ChatStream, first: float) -> DraftError:
        if stream.tokens:
            return self._late("written another word", self._options.limits.between_tokens)
        return self._late("begun its reply", first)

    def _late(self, what: str, seconds: float) -> DraftError:
        return DraftError(
            "generator-timeout",
            f"{self.model} had not {what} after {seconds:g} s; try again when it is less busy, or raise the "
            "limit.",
            may_pass=True,
        )


async def _beginning(response: httpx.Response) -> bytes:
    """The beginning of an answer that is no reply; "" where it cannot be read."""
    found = b""
    try:
        async for data in response.aiter_bytes():
            found += data
            if len(found) > _MOST_ERROR_BYTES:
                break
    except httpx.HTTPError:
        pass
    return found


def _wanted(options: ServerOptions) -> Taken:
    return Taken(picture_format=options.picture_format, stream=options.streaming)


_remembered: dict[tuple[str, str, Taken], Remembered] = {}


def _configured(settings: GeneratorSettings) -> OpenAIServer:
    """Make a configured generator, which knows what another one of the same server and model has learned."""
    options = options_of(settings.name, settings.settings())
    url = checked_url(settings.settings()["url"])
    wanted = _wanted(options)
    known = _remembered.setdefault((url, settings.model, wanted), Remembered(wanted))
    return OpenAIServer(url, settings.model, settings.budget, options, known)


KIND = GeneratorKind("openai", FIELDS, _configured, required=("url",), checks=CHECKS)
