"""A PostgreSQL server of the tests' own, on loopback: started once, with a new database for each test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

TEMPLATE = "with_tables"
# Not the order of bytes: a server sorts texts as its language does, and nothing may depend on it.
ENGLISH = ("--locale-provider=icu", "--icu-locale=en-US", "--locale=C", "--encoding=UTF8")
BUILT_IN = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8")
"""For servers that were built without ICU."""
_SETTINGS: Mapping[str, object] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "shared_buffers": "32MB",
    "max_connections": 200,
}


def find_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: on the path, or where Debian puts them."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


class PostgresqlServer:
    """One server in `folder`, which must be reachable for the user that it runs as."""

    def __init__(
        self,
        programs: Path,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        locale: Sequence[str] = ENGLISH,
    ) -> None:
        self._programs = programs
        self._locale = locale
        self._settings = {**_SETTINGS, **(settings or {})}
        self._folder = folder
        self._user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
        self._numbers = count()
        self._has_template = False
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"postgresql+psycopg://tester@127.0.0.1:{self.port}"
        self._admin = create_engine(f"{self.url}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def make(self) -> None:
        """Make the cluster, and start it."""
        if self._user:
            shutil.chown(self._folder, self._user)
        self._call("initdb", "--auth=trust", "--username=tester", "--no-sync", *self._locale)
        self.start()

    def start(self) -> None:
        """Start the server; it answers when this returns."""
        options = " ".join(
            [f"-p {self.port}", *(f"-c {key}={value}" for key, value in self._settings.items())]
        )
        self._call("pg_ctl", "-w", "-s", "-l", f"{self._folder}/log", "-o", options, "start")

    def stop(self) -> None:
        """End the server as a power cut would."""
        self._call("pg_ctl", "-w", "-m", "immediate", "stop")

    def restart(self) -> None:
        """End the server as a power cut would, and start it again."""
        self.stop()
        self.start()

    def make_standby_of(self, primary: PostgresqlServer) -> None:
        """Copy another server, whose `wal_level` is `replica`, and start as a hot standby that follows it."""
        if self._user:
            shutil.chown(self._folder, self._user)
        self._call(
            "pg_basebackup", "-h", "127.0.0.1", "-p", f"{primary.port}", "-U", "tester", "-R", "-c", "fast"
        )
        self.start()

    def promote(self) -> None:
        """Make a standby the primary; it takes writes when this returns."""
        self._call("pg_ctl", "-w", "-s", "promote")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process of the server in its tracks (SIGSTOP), and let them go on afterwards."""
        first = psutil.Process(int((self._folder / "data" / "postmaster.pid").read_text().split()[0]))
        first.suspend()  # first, so that it starts no more
        stopped = [first, *first.children(recursive=True)]
        try:
            for process in stopped[1:]:
                process.suspend()
            yield
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def new_database(self, fill: Callable[[str], None] | None = None) -> str:
        """The URL of a new database: empty, or a copy of what `fill` made of one when it was first called."""
        name = f"home{next(self._numbers)}"
        if fill is None:
            self.execute(f"CREATE DATABASE {name}")
            return f"{self.url}/{name}"
        if not self._has_template:
            self.execute(f"CREATE DATABASE {TEMPLATE}")
            fill(f"{self.url}/{TEMPLATE}")
            self._has_template = True
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return f"{self.url}/{name}"

    def new_login(self, url: str, name: str, password: str) -> str:
        """The database's URL for a new user who owns it and is asked for a password, which the URL lacks.

        One of that name that is left of a dropped database goes.
        """
        quoted = password.replace("'", "''").replace(":", "\\:")
        self.execute(f"DROP ROLE IF EXISTS {name}")
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'")
        self.execute(f"ALTER DATABASE {url.rpartition('/')[2]} OWNER TO {name}")
        rules = self._folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT 1 FROM pg_reload_conf()")
        return url.replace("tester@", f"{name}@")

    def drop(self, url: str) -> None:
        """Delete a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def end_connections(self, url: str) -> int:
        """Cut every connection to a database, as an administrator does; how many there were."""
        return self.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE datname = '{url.rpartition('/')[2]}'"
        )

    def execute(self, statement: str) -> int:
        """Run a statement on the server; the number that it gives, if it gives one."""
        with self._admin.connect() as connection:
            result = connection.execute(text(statement))
            return int(result.scalar() or 0) if result.returns_rows else 0

    def _call(self, program: str, *words: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", f"{self._folder}/data", *words],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._folder,
        )
