"""Connections to PostgreSQL that notice when the server, or the way to it, is frozen.

A frozen server's kernel still acknowledges packets, so neither keepalives nor TCP's own timeouts see it, and
its own `statement_timeout` is frozen with it. A limit on the time of a statement would cut migrations and
compactions short. So a statement may take as long as it needs while the server lives, and whether it lives is
asked by another connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")
CONNECT_SECONDS = 10
"""How long a new connection may take, from the first packet to the end of the login."""
SILENCE_SECONDS = 5.0
"""After this time without an answer to a statement, another connection asks whether the server lives."""
_RETRY_SECONDS = 1.0
# What the client side of TCP does (postgresql.org/docs/current/libpq-connect.html): a peer that is gone is
# noticed after 25 seconds while nothing is sent, and after 20 seconds (in milliseconds) otherwise.
_TCP = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# The same on the server's side, in seconds: the locks of a client that is gone do not stay.
_SERVER_TCP = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
_LIBPQ = ("psycopg", "psycopg2")


def connect_arguments(url: URL, lock_seconds: float) -> dict[str, Any]:
    """The driver's arguments for a database; what the URL itself sets has precedence."""
    if url.get_backend_name() != "postgresql" or url.get_driver_name() not in _LIBPQ:
        return {}
    own = url.query.get("options", "")
    options = f"-c lock_timeout={int(lock_seconds * 1000)} {_SERVER_TCP}"
    given = {name: value for name, value in _TCP.items() if name not in url.query}
    return {**given, "options": f"{options} {own if isinstance(own, str) else ' '.join(own)}".rstrip()}


class ServerWatch:
    """Whether a server lives, for all threads that wait for it. While it is known to be frozen, one thread at
    a time tries, and the others need not wait.
    """

    def __init__(self, connect: Callable[[], None]) -> None:
        """`connect` opens and closes a connection of its own; it returns if the server answered, even to
        refuse it, and raises `TimeoutError` if it did not.
        """
        self._connect = connect
        self._asking = threading.Lock()
        self._answered = float("-inf")
        self._lives = True
        self._changing = threading.Lock()
        self._next_try = float("-inf")
        self._is_frozen = False

    def lives(self) -> bool:
        """Ask the server now; threads that wait meanwhile share the answer."""
        begun = time.monotonic()
        with self._asking:
            if self._answered < begun:
                try:
                    self._connect()
                    self._lives = True
                except TimeoutError:
                    self._lives = False
                    self.note_frozen()
                self._answered = time.monotonic()
            return self._lives

    def may_try(self) -> bool:
        """False while the server is known to be frozen and another thread tries it, or has just tried it."""
        if not self._is_frozen:
            return True
        with self._changing:
            now = time.monotonic()
            if now < self._next_try:
                return False
            self._next_try = now + CONNECT_SECONDS + SILENCE_SECONDS
            return True

    def has_just_failed(self) -> bool:
        """Whether it did not answer a moment ago: a pool that lost its connection need not open another."""
        return self._is_frozen and not self._lives and time.monotonic() - self._answered < _RETRY_SECONDS

    def note_frozen(self) -> None:
        """The server did not answer."""
        with self._changing:
            self._is_frozen = True
            self._next_try = time.monotonic() + _RETRY_SECONDS

    def note_alive(self) -> None:
        """The server answered."""
        if self._is_frozen:
            with self._changing:
                self._is_frozen = False


def watch_server(engine: Engine) -> ServerWatch | None:
    """Let the connections of an engine notice a frozen server; None for another driver than psycopg."""
    if engine.dialect.driver != "psycopg" or engine.dialect.name != "postgresql":
        return None
    import psycopg

    words, given = engine.dialect.create_connect_args(engine.url)
    arguments = {**given, **connect_arguments(engine.url, 0)}

    def ask() -> None:
        try:
            psycopg.connect(*words, **arguments).close()
        except psycopg.errors.ConnectionTimeout:
            raise TimeoutError from None
        except psycopg.Error:
            return

    watch = ServerWatch(ask)
    connection_class = _watched_class(watch)

    def connect(_dialect: object, _record: object, words: Any, arguments: Any) -> Any:
        if watch.has_just_failed():
            raise psycopg.OperationalError("the server has stopped answering")
        try:
            return connection_class.connect(*words, **arguments)
        except psycopg.errors.ConnectionTimeout:
            watch.note_frozen()
            raise
        except psycopg.OperationalError:  # it refused, so it lives
            watch.note_alive()
            raise

    event.listen(engine, "do_connect", connect)
    return watch


def _watched_class(watch: ServerWatch) -> type[Connection[Any]]:
    import psycopg

    class WatchedConnection(psycopg.Connection[Any]):
        """A connection that is closed once the server does not live while a statement waits for it."""

        def set_read_only(self, value: bool | None) -> None:
            # SQLAlchemy resets this to False, which begins transactions with READ WRITE: an error on a
            # standby.
            super().set_read_only(value or None)

        def wait(self, gen: Any, *given: Any, **named: Any) -> Any:
            try:
                return super().wait(_watched(gen, watch), *given, **named)
            except _ServerFrozenError:
                self.close()
                raise psycopg.OperationalError("the server has stopped answering") from None

    return WatchedConnection


class _ServerFrozenError(Exception):
    """The server does not live."""


def _watched(steps: Generator[Any, Any, T], watch: ServerWatch) -> Generator[Any, Any, T]:
    """The steps of an operation of psycopg, which are sent what the socket is ready for, 0 for nothing yet, a
    few times a second.
    """
    asked = time.monotonic()
    try:
        awaited = next(steps)
        while True:
            ready = yield awaited
            if ready:
                asked = time.monotonic()
            elif time.monotonic() - asked > SILENCE_SECONDS:
                if not watch.lives():
                    raise _ServerFrozenError
                asked = time.monotonic()
            awaited = steps.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result
