"""Requests to a web service of a PACS: credentials, TLS, redirects, and answers that end.

httpx's transport is used without its client, which would write addresses, and with them names of patients,
to the log, and follow the environment's proxies.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.tls import certificate_problem, tls_context
from medsiglip.ingest.pacs.web.credentials import Credentials
from medsiglip.ingest.pacs.web.header_watch import HeaderWatch
from medsiglip.ingest.pacs.web.matching import encoded

LARGEST_ANSWER = 1 << 25
_REDIRECTS, _MOST_REDIRECTS = frozenset({301, 302, 303, 307, 308}), 5
_BUSY, _MAY_PASS = frozenset({429, 503}), frozenset({408, 425, 500, 502, 504})
_LONGEST_WAIT = 3600.0
# A service that sends less than this is as good as silent; measured over twice the connection's time limit.
_SLOWEST = 64
# What the headers of an answer, and a body that is read into memory, may take in all, in times of the
# connection's time limit.
PATIENCE = 10


@dataclass(frozen=True)
class Asked:
    """A request. `content` makes the body, as often as it is sent."""

    url: str
    accept: str
    method: str = "GET"
    parameters: Sequence[tuple[str, str]] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Callable[[], Iterable[bytes]] | None = None


class HttpExchange:
    """The HTTP connection of a PACS, kept between requests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._credentials = Credentials(connection)
        self._transports: dict[bool, httpx.HTTPTransport] = {}
        self._watches: dict[bool, HeaderWatch] = {}
        self._watch: HeaderWatch | None = None
        seconds = connection.timeout_seconds
        self._timeout = {"connect": seconds, "read": seconds, "write": seconds, "pool": seconds}

    def close(self) -> None:
        """End the connection."""
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()

    @contextmanager
    def answer(self, asked: Asked) -> Iterator[httpx.Response]:
        """The beginning of an answer, whose body `pieces` and `body` read; redirects are followed.

        Raises `PacsError` for what is the same whatever was asked: no connection, a wrong certificate, no
        rights, a service that is busy or fails.
        """
        with self._translated():
            response = self._sent(asked)
            try:
                self._check_status(response)
                yield response
            finally:
                response.close()

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """The body as it comes. Raises `PacsError` where it stalls, is cut, or was compressed unasked."""
        if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise self.bad_answer("it is compressed, which was not asked for")
        stream = response.iter_raw()
        waited, received = 0.0, 0
        while True:
            begun = time.monotonic()
            piece = next(stream, None)
            waited += time.monotonic() - begun
            if piece is None:
                return
            received += len(piece)
            if waited > 2 * self._connection.timeout_seconds:
                if received < _SLOWEST * waited:
                    raise self._timed_out()
                waited, received = 0.0, 0
            yield piece

    def body(self, response: httpx.Response) -> bytes:
        """All of a body that is small enough to be read into memory."""
        deadline = time.monotonic() + PATIENCE * self._connection.timeout_seconds
        content = bytearray()
        for piece in self.pieces(response):
            content += piece
            if len(content) > LARGEST_ANSWER:
                raise self.bad_answer(f"it has more than {LARGEST_ANSWER >> 20} MiB: ask for less at once")
            if time.monotonic() > deadline:
                raise self._timed_out()
        return bytes(content)

    def json(self, asked: Asked) -> Any:
        """An answer in JSON, None for one without content."""
        with self.answer(asked) as response:
            return self.read_json(response)

    def read_json(self, response: httpx.Response) -> Any:
        """The body of a successful answer as JSON, None for one without content."""
        if response.status_code == 204:
            return None
        if not response.is_success:
            raise self.failed(response.status_code)
        content = self.body(response)
        if not content.strip():
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            if "html" in response.headers.get("Content-Type", "").lower():
                raise self.bad_answer("it is a web page, perhaps one to sign in on") from None
            raise self.bad_answer("it is no JSON that can be read") from None

    def lenient_json(self, response: httpx.Response) -> Any:
        """The body as JSON, None where it is none: for answers whose status says enough."""
        try:
            return json.loads(self.body(response))
        except (ValueError, RecursionError):
            return None

    def bad_answer(self, problem: str) -> PacsError:
        """The error for an answer that cannot be used."""
        return PacsError(
            "pacs-bad-answer",
            f"The answer of {self._connection.name} cannot be used: {problem}. Check the address of its "
            "DICOMweb service, and its own log.",
        )

    def failed(self, status: int) -> PacsError:
        """The error for an answer that says no."""
        return PacsError(
            "pacs-failed",
            f"{self._connection.name} answered with HTTP {status}: check the address of its DICOMweb "
            "service, and its own log.",
            may_pass=status in _MAY_PASS,
        )

    def _sent(self, asked: Asked) -> httpx.Response:
        url, may_renew, may_repeat = asked.url, True, asked.method == "GET"
        authorization = self._credentials.header()
        for _ in range(_MOST_REDIRECTS + 3):
            try:
                response = self._handled(asked, url, authorization)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if self._watch is not None and self._watch.is_late:
                    raise self._timed_out() from None
                # The service may close a connection that was kept just as it is used again.
                if not may_repeat or _tls_error(error) is not None:
                    raise
                may_repeat = False
                continue
            if response.status_code == 401 and may_renew:
                may_renew = False
                renewed = self._credentials.renewed()
                if renewed is not None:
                    response.close()
                    authorization = renewed
                    continue
            if response.status_code in _REDIRECTS and "Location" in response.headers:
                response.close()
                url = self._redirected(asked, url, response)
                continue
            return response
        raise self.bad_answer("it leads from one address to another without end")

    def _handled(self, asked: Asked, url: str, authorization: str | None) -> httpx.Response:
        headers = {"Accept": asked.accept, "Accept-Encoding": "identity", "User-Agent": "medsiglip"}
        headers |= asked.headers
        if authorization is not None:
            headers["Authorization"] = authorization
        # A redirect's address has its question in it.
        question = f"?{encoded(asked.parameters)}" if asked.parameters and url == asked.url else ""
        request = httpx.Request(
            asked.method,
            f"{url}{question}",
            headers=headers,
            content=asked.content() if asked.content is not None else None,
            extensions={"timeout": self._timeout},
        )
        speaks_tls = request.url.scheme == "https"
        transport, watch = self._transport(speaks_tls=speaks_tls), self._watches[speaks_tls]
        request.extensions["trace"] = watch.follow
        self._watch = watch
        watch.is_late = False
        response = transport.handle_request(request)
        response.request = request
        return response

    def _transport(self, *, speaks_tls: bool) -> httpx.HTTPTransport:
        """The connections by HTTP, or by HTTPS; the system's certificates take a while to read."""
        if speaks_tls not in self._transports:
            verify = tls_context(self._connection) if speaks_tls else False
            self._watches[speaks_tls] = HeaderWatch(PATIENCE * self._connection.timeout_seconds)
            self._transports[speaks_tls] = httpx.HTTPTransport(verify=verify, trust_env=False)
        return self._transports[speaks_tls]

    def _redirected(self, asked: Asked, url: str, response: httpx.Response) -> str:
        """Where a redirect leads. A question may name a patient, and a header holds the key: neither goes to
        another host, nor out of TLS.
        """
        try:
            target = urljoin(str(response.request.url), response.headers["Location"])
            former, latter = urlsplit(url), urlsplit(target)
            ports = _port(former), _port(latter)
        except ValueError:
            raise self.bad_answer("it leads to an address that is none") from None
        is_same = (former.scheme, former.hostname, ports[0]) == (latter.scheme, latter.hostname, ports[1])
        is_safer = (former.scheme, latter.scheme) == ("http", "https") and former.hostname == latter.hostname
        if not is_same and not is_safer:
            raise PacsError(
                "pacs-failed",
                f"{self._connection.name} leads to another server, which is not followed: give the "
                "address of that one as the connection's url, if it is to be asked.",
            )
        if asked.method != "GET" and response.status_code not in (307, 308):
            raise self.failed(response.status_code)
        return target

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (401, 403):
            raise PacsError(
                "pacs-refused",
                f"{self._connection.name} answered with HTTP {status}: check the token or the password of "
                "the connection, and what they may do there.",
            )
        if status in _BUSY:
            raise PacsError(
                "pacs-failed",
                f"{self._connection.name} is busy (HTTP {status}): try again later, or lower its rate.",
                may_pass=True,
                retry_after=_retry_after(response.headers.get("Retry-After", "")),
            )
        if status >= 500 and response.request.method == "GET":
            raise self.failed(status)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise self._timed_out() from None
        except httpx.TransportError as error:
            tls_error = _tls_error(error)
            if tls_error is not None:
                raise certificate_problem(self._connection, tls_error) from None
            if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
                raise self.bad_answer("it cannot be asked so by HTTP") from None
            raise PacsError(
                "pacs-unreachable",
                f"{self._connection.name} cannot be reached, or broke off: check that it runs, and its "
                "address.",
                may_pass=True,
            ) from None
        except httpx.InvalidURL:
            raise self.bad_answer("it leads to an address that is none") from None

    def _timed_out(self) -> PacsError:
        return PacsError(
            "pacs-timeout",
            f"{self._connection.name} did not answer within {self._connection.timeout_seconds:g} seconds: "
            "try again later, or raise timeout_seconds.",
            may_pass=True,
        )


def _port(parts: Any) -> int | None:
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """The TLS error that is behind another."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None or isinstance(cause, ssl.SSLError):
            # The end of a connection without a farewell is a broken connection like any other.
            return None if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) else cause
        cause = cause.__cause__ or cause.__context__
    return None


def _retry_after(value: str) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date; at most an hour."""
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), _LONGEST_WAIT)
    try:
        given = parsedate_to_datetime(value[:100])
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    seconds = (given.replace(tzinfo=given.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT)
