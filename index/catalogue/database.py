"""The connection to the catalogue: one engine, transactions, and errors as `CatalogError`."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, exc, func, inspect, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool, QueuePool

from medsiglip.index.catalogue import migrations
from medsiglip.index.catalogue.connecting.server_connection import connect_arguments, watch_server
from medsiglip.index.catalogue.connecting.server_errors import from_server, server_error
from medsiglip.index.catalogue.connecting.sqlite_connection import begin_sqlite, is_full, prepare_sqlite
from medsiglip.index.catalogue.full_text.search_tables import search_table_error
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.opening import IN_THE_HOME, ObjectPlace, open_store

# Without this, each statement on PostgreSQL sees another state. Writers read what is committed once they hold
# their lock (postgresql.org/docs/current/transaction-iso.html).
_ONE_VIEW: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Lock timeout, deadlock, serialization failure (PostgreSQL, appendix A).
_CONFLICTS = {"55P03", "40P01", "40001"}
# relpages is what the last ANALYZE or VACUUM found (postgresql.org/docs/current/catalog-pg-class.html).
_GROWN_TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace "
    "AND pg_relation_size(oid) > (1.25 * relpages + 8) * current_setting('block_size')::int"
)
_READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool"
# How long a thread waits while all connections of this process are in use.
_POOL_SECONDS = 10.0
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


key_in_use: ContextVar[tuple[str, str]] = ContextVar("key_in_use", default=("", ""))
"""The home and the fingerprint of the key by which this thread, or request, knows patients."""


class Database:
    """SQLite in WAL mode inside the home, or whatever SQLAlchemy opens by URL."""

    def __init__(
        self,
        home: Path,
        url: str | None,
        busy_seconds: float,
        *,
        unchanging: bool = False,
        objects: ObjectPlace = IN_THE_HOME,
    ) -> None:
        """With `unchanging`, a SQLite file is only read, and nothing is made beside it. `objects` says where
        the files that rows name lie.
        """
        self.home = home
        self.objects = open_store(home, objects)
        self.busy_seconds = busy_seconds
        self.url = make_url(url) if url else URL.create("sqlite", database=str(home / "catalog.db"))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._unchanging = unchanging
        self._closed_state = self._state_if_closed()
        self._engine = self._create_engine()
        self._watch = watch_server(self._engine)

    def _create_engine(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(
                self.url,
                connect_args=connect_arguments(self.url, self.busy_seconds),
                pool_pre_ping=True,
                pool_timeout=_POOL_SECONDS,
                isolation_level="READ COMMITTED",
            )
        if self._closed_state is not None:
            engine = create_engine("sqlite://", creator=self._connect_unchanging, poolclass=NullPool)
            event.listen(engine, "begin", begin_sqlite)
            return engine
        engine = create_engine(self.url, connect_args={"timeout": self.busy_seconds})
        event.listen(engine, "connect", partial(prepare_sqlite, self.busy_seconds))
        event.listen(engine, "begin", begin_sqlite)
        return engine

    def _state_if_closed(self) -> tuple[int, int] | None:
        """Size and time of a SQLite file that this process cannot write and none has open, else None.

        SQLite reads a write-ahead log only where it can make files beside it, or is told that nothing changes
        (sqlite.org/wal.html#read_only_databases).
        """
        file = self._file
        if file is None or not file.is_file():
            return None
        if not self._unchanging and all(os.access(one, os.W_OK) for one in (file, file.parent)):
            return None
        beside = [file.with_name(f"{file.name}{ending}") for ending in ("-wal", "-shm")]
        state = file.stat()
        return None if any(one.exists() for one in beside) else (state.st_size, state.st_mtime_ns)

    def _connect_unchanging(self) -> sqlite3.Connection:
        """A connection to a file that nobody changes; `CatalogError` `catalog-busy` if somebody has."""
        if self._state_if_closed() != self._closed_state:
            raise CatalogError(
                "catalog-busy", f"Another process has opened or changed {self._file}; run this again."
            )
        place = f"file:{quote(str(self._file))}?mode=ro&immutable=1"
        connection = sqlite3.connect(place, uri=True, check_same_thread=False)
        connection.isolation_level = None
        return connection

    @contextmanager
    def _connected(self, **options: Any) -> Iterator[Connection]:
        """A connection, with errors translated. A server that is known to be frozen is not waited for."""
        with self.translate_errors():
            if self._watch is not None and not self._watch.may_try():
                raise server_error("database-unreachable", self.url, "it has stopped answering")
            with self._engine.connect() as plain:
                if self._watch is not None:
                    self._watch.note_alive()
                yield plain.execution_options(**options) if options else plain

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the catalogue."""
        view = {} if self.is_sqlite else _ONE_VIEW
        with self._connected(**view) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The only transaction that writes to the cases: it waits for other writers, of any process."""
        with self._connected(sqlite_begin="BEGIN IMMEDIATE") as connection, connection.begin():
            connection.execute(update(home_table).values(version=home_table.c.version + 1))
            self._refuse_former_key(connection)
            yield connection

    def _refuse_former_key(self, connection: Connection) -> None:
        """Refuse what knows patients by a key that was rotated meanwhile: it would store the former keys."""
        place, fingerprint = key_in_use.get()
        if place != str(self.home):
            return
        if connection.execute(select(home_table.c.key_fingerprint)).scalar_one() not in (fingerprint, None):
            raise CatalogError(
                "key-rotated",
                "The secret key of the home was rotated while this ran; run it again, in a new process.",
            )

    @contextmanager
    def write_service_tables(self) -> Iterator[Connection]:
        """A transaction on the tables of `medsiglip.index.catalogue.service_schema`, which readers of the
        cases need not notice. It excludes `write` transactions on SQLite only.
        """
        with self._connected(sqlite_begin="BEGIN IMMEDIATE") as connection, connection.begin():
            yield connection

    @property
    def _file(self) -> Path | None:
        """The file of a SQLite catalogue, None for one in memory or on a server."""
        name = self.url.database if self.is_sqlite else None
        return None if not name or name.startswith((":", "file:")) else Path(name)

    def make_file(self) -> None:
        """Create SQLite's file with mode 0600, which SQLite then gives to its log too."""
        if self._file is not None:
            with suppress(FileExistsError, FileNotFoundError):
                os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def holds_tables(self) -> bool:
        """Whether this is a catalogue; unlike connecting to SQLite, this creates no file.

        Raises `CatalogError` `older-home` for tables of a revision before the first that can be migrated.
        """
        if self._file is not None and not (self._file.is_file() and self._file.stat().st_size):
            return False
        with self._connected() as connection, connection.begin():
            revision = _revision(connection)
        if revision is not None and revision < migrations.FIRST:
            place = "" if self.is_sqlite else " and an empty database in MEDSIGLIP_DATABASE_URL"
            raise CatalogError(
                "older-home",
                f"{self.home} was written by a pre-release of medsiglip (catalogue {revision}), which this "
                f"version cannot read; nothing was changed: choose another --home{place} and ingest the "
                "files again.",
            )
        return revision is not None

    def migrate(self) -> None:
        """Bring the tables up to date; where they are, this takes one query and imports nothing."""
        with self._connected(sqlite_begin="BEGIN") as connection, connection.begin():
            if _revision(connection) == migrations.HEAD:
                return
        with self._connected(sqlite_begin="BEGIN IMMEDIATE") as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(5064661)"))
            if _revision(connection) != migrations.HEAD:
                self._upgrade(connection)

    def measure_seconds(self) -> float:
        """How long a connection and the smallest statement take, in seconds."""
        begun = time.perf_counter()
        with self._connected() as connection:
            connection.exec_driver_sql("SELECT 1").scalar()
        return time.perf_counter() - begun

    def pool(self) -> tuple[int, int]:
        """Connections of this process in use, and the most there may be; (0, 0) without a pool."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool):
            return 0, 0
        return pool.checkedout(), pool.size() + pool._max_overflow

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy a SQLite catalogue as it is now, while others may write (sqlite.org/backup.html)."""
        with self._connected() as connection:
            source: Any = connection.connection.driver_connection
            source.backup(target)

    def check_writable(self) -> None:
        """Raise `CatalogError` `database-read-only` for a server that takes no writes, such as a standby, and
        `read-only-home` for a file that cannot be written.
        """
        if self._closed_state is not None:
            raise self._read_only()
        if self.url.get_backend_name() == "postgresql":
            with self._connected() as connection, connection.begin():
                if connection.execute(text(_READ_ONLY)).scalar_one():
                    raise server_error("database-read-only", self.url, "it is a standby, or set to read only")

    def _upgrade(self, connection: Connection) -> None:
        try:
            migrations.upgrade(connection)
        except migrations.UnknownRevisionError as error:
            raise CatalogError(
                "newer-home",
                f"{self.home} was written by a newer version of medsiglip (catalogue {error}); "
                "install that version or choose another --home.",
            ) from None

    def analyze(self) -> None:
        """Renew PostgreSQL's statistics of the tables that have grown by a quarter. By itself it does so
        about a minute later; until then it takes a table that was just filled for a small one, and joins row
        by row.
        """
        if self.url.get_backend_name() != "postgresql":
            return
        with self._connected(isolation_level="AUTOCOMMIT") as connection:
            for name in connection.execute(text(_GROWN_TABLES)).scalars().all():
                connection.exec_driver_sql(f'ANALYZE "{name}"')

    def empty_log(self) -> bool:
        """Empty SQLite's write-ahead log, so that deleted rows are not left in it; whether that was possible.
        Readers of an earlier state are waited for only some seconds.
        """
        if not self.is_sqlite or self._closed_state is not None:
            return True
        with self._connected(isolation_level="AUTOCOMMIT") as connection:
            # One that waits for long keeps overlapping readers from leaving the log.
            connection.exec_driver_sql("PRAGMA busy_timeout=100")
            # The first column says that it was blocked (sqlite.org/pragma.html#pragma_wal_checkpoint).
            tries = (connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)") for _ in range(30))
            is_empty = any(not one.scalar_one() for one in tries)
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * self.busy_seconds)}")
            return is_empty

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turn errors of the disk and the database into `CatalogError`."""
        try:
            yield
        except exc.DBAPIError as error:
            raise self._from_database(error) from error
        except exc.TimeoutError:  # of the pool
            raise server_error(
                "too-many-connections", self.url, "all connections of this process are in use"
            ) from None
        except OSError as error:
            found = self._from_system(error)
            if found is None:
                raise
            raise found from error

    def _from_system(self, error: OSError) -> CatalogError | None:
        if error.errno in _FULL:
            return self._disk_full()
        if error.errno in _FORBIDDEN:
            return self._read_only()
        return None

    def _from_database(self, error: exc.DBAPIError) -> CatalogError:
        original: Any = error.orig
        if not self.is_sqlite:
            return self._from_server(error)
        name = getattr(original, "sqlite_errorname", "") or ""
        if name == "SQLITE_FULL" or (
            name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and is_full(self.home)
        ):
            return self._disk_full()
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return self._busy()
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            return self._read_only()
        if name.startswith("SQLITE_NOTADB"):
            return CatalogError(
                "not-a-catalog",
                f"{self.home / 'catalog.db'} is not a catalogue of medsiglip; choose another --home "
                "or move that file away.",
            )
        if (of_search := search_table_error(original, self.home / "catalog.db")) is not None:
            return of_search
        if name.startswith("SQLITE_CORRUPT"):
            return CatalogError(
                "catalog-corrupt",
                f"{self.home / 'catalog.db'} is damaged ({original}); restore it from a backup, or ingest "
                "again into another --home.",
            )
        if name.startswith("SQLITE_IOERR"):
            return CatalogError(
                "disk-error",
                f"The disk under {self.home} failed ({original}); check the disk and its free space, "
                "then run this again.",
            )
        raise error

    def _from_server(self, error: exc.DBAPIError) -> CatalogError:
        state = getattr(error.orig, "sqlstate", None)
        if state == "53100":
            return self._disk_full()
        if state in _CONFLICTS:
            return self._busy()
        found = from_server(error, self.url)
        if found is None:
            raise error
        return found

    def _disk_full(self) -> CatalogError:
        return CatalogError(
            "disk-full",
            f"The disk that holds {self.home} is full: nothing of this step was kept; free some space and "
            "run it again.",
        )

    def _read_only(self) -> CatalogError:
        return CatalogError(
            "read-only-home",
            f"{self.home} cannot be written; give this user the right to write there or choose "
            "another --home.",
        )

    def _busy(self) -> CatalogError:
        return CatalogError(
            "catalog-busy",
            f"Another process has been writing to {self.home} for {self.busy_seconds:g} seconds; "
            "wait until it is done and run this again.",
        )


def now_of(connection: Connection) -> datetime:
    """The time in UTC by the clock of the database server, which several machines share; with SQLite, by that
    of this machine.
    """
    if connection.dialect.name == "postgresql":
        moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)
    return datetime.now(UTC)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
