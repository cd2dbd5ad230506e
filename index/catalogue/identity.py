"""The identity that a home and its catalogue share: a column of the catalogue, and a file of the home.

A home that is opened with another catalogue would take all its vectors for leftovers, so such a pair is
refused. Nothing is created, migrated or deleted before the two are known to belong together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection, select, text, update
from sqlalchemy.engine import URL

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import doomed_files, home, shards
from medsiglip.index.catalogue.service_schema import unfinished_files
from medsiglip.index.durable_files import atomic_file
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import ObjectStore

FILE = "identity.json"
_SHARD = re.compile(r"([0-9a-f]{32})(?:-[0-9]+)?\.parquet")


@dataclass(frozen=True, slots=True)
class HomeIdentity:
    """The content of the home's file: the identity, and where its catalogue was, without a password."""

    id: str
    catalogue: str


def check_pair(database: Database) -> None:
    """Raise `CatalogError` `other-catalogue` where this database is not the one of the home, and
    `other-object-store` where its files lie elsewhere.
    """
    folder, objects = database.home, database.objects
    # The home is read first: another process may make both meanwhile, the catalogue before the file.
    held, files = read_identity(folder), set(shard_files(folder))
    stored = stored_identity(objects)
    if not database.holds_tables():
        if held is not None or files:
            raise _other(database, held, "is empty")
        if stored is not None:
            raise _other_store(objects.url, "holds the files of another archive")
        return
    with database.read() as connection:
        known = identity_of(connection)
        if held is None or held.id == known:
            _require_store(connection, objects, stored)
        if held is not None and held.id == known:
            return
        named = set(connection.execute(select(shards.c.name)).scalars())
    if held is None and objects.is_remote and stored == known:
        return  # another machine of the same archive
    if held is not None:
        raise _other(database, held, f"is that of another home (identity {known})")
    # The home's file may be missing. Names of shards are random, so a common one proves the pair.
    if not (named & files) and (named or files):
        raise _other(database, held, "names none of its vector files")


def write_file(database: Database) -> None:
    """Write the identity, and where the catalogue is, to the home's file, unless it has both; after
    `check_pair` and the migration.
    """
    with database.read() as connection:
        current = HomeIdentity(identity_of(connection), _place(database))
    if read_identity(database.home) != current:
        with suppress(OSError), atomic_file(database.home / FILE) as stream:
            stream.write(json.dumps(asdict(current)).encode())


def stored_identity(objects: ObjectStore) -> str | None:
    """The identity of the archive that a bucket belongs to; None for none, and for a home."""
    if not objects.is_remote:
        return None
    try:
        return str(json.loads(objects.read(FILE))["id"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise _other_store(objects.url, f"holds a damaged {FILE}") from None


def put_identity(objects: ObjectStore, identity: str) -> None:
    """Make a bucket that of an archive; raises `CatalogError` `other-object-store` if it is another's."""
    if objects.is_remote:
        try:
            objects.put_new(FILE, [memoryview(json.dumps({"id": identity}).encode())])
        except CatalogError as error:
            if error.code != "object-exists":
                raise
            raise _other_store(objects.url, "holds the files of another archive") from None


def _require_store(connection: Connection, objects: ObjectStore, stored: str | None) -> None:
    """Compare where files lie with what the catalogue, of any revision, remembers."""
    row = connection.execute(text("SELECT * FROM home")).mappings().one()
    known = row.get("object_store", "file:" if row["next_id"] > 1 else None)
    if known not in (None, objects.url):
        raise _other_store(
            objects.url, f"is not where the files of this archive lie: that is {_shown(known)}"
        )
    if stored not in (None, row["identity"]):
        raise _other_store(objects.url, "holds the files of another archive")
    if known is not None and objects.is_remote and stored is None:
        raise _other_store(objects.url, "holds nothing of this archive, which has its files there")


def keep_object_store(database: Database) -> None:
    """Let the catalogue remember where its files lie, when it is first opened; after the migration."""
    url = database.objects.url
    with database.read() as connection:
        known = connection.execute(select(home.c.object_store)).scalar_one()
        identity = identity_of(connection)
    if known is None:
        put_identity(database.objects, identity)
        with _unless_read_only(), database.write_service_tables() as connection:
            connection.execute(update(home).where(home.c.object_store.is_(None)).values(object_store=url))
            known = connection.execute(select(home.c.object_store)).scalar_one()
    if known not in (None, url):
        raise _elsewhere(url, known)


@contextmanager
def _unless_read_only() -> Iterator[None]:
    """Let a catalogue that cannot be written stay as it is."""
    try:
        yield
    except CatalogError as error:
        if error.code not in ("read-only-home", "database-read-only"):
            raise


def _shown(url: str) -> str:
    return "the folder of the home" if url == "file:" else url


def _elsewhere(url: str, known: str) -> CatalogError:
    return _other_store(url, f"is not where the files of this archive lie: that is {_shown(known)}")


def _other_store(url: str, what: str) -> CatalogError:
    return CatalogError(
        "other-object-store",
        f"MEDSIGLIP_OBJECT_URL: {_shown(url)} {what}; nothing was changed: give the right one, or an empty "
        "place to a new archive. `medsiglip backup`, restored with another MEDSIGLIP_OBJECT_URL, moves one.",
    )


def check_age(database: Database) -> None:
    """Raise `CatalogError` `older-catalogue` where the home holds shards that the catalogue does not know."""
    count = _count_unknown(database)
    if count:
        raise CatalogError(
            "older-catalogue",
            f"{database.home} holds {count} vector files that its catalogue {_place(database)} does not "
            "know, so the catalogue is older than the home; nothing was changed: give the newest back, or "
            "run `medsiglip index recover` to go on with this one, and ingest again what came since.",
        )


def unknown_shards(database: Database) -> list[Path]:
    """Shards on disk that the catalogue neither lists, nor has announced, nor listed for deletion."""
    # The files are listed before the rows, so that a shard added or dropped in between is not unknown.
    found = shard_files(database.home)
    return [path for path in _unknown(database, found) if path.exists()]


def _count_unknown(database: Database) -> int:
    """How many shards of the home or its bucket are unknown, as `unknown_shards` has it."""
    if not database.objects.is_remote:
        return len(unknown_shards(database))
    names = database.objects.matching("vectors/*/*.parquet")
    paths = [database.home / name for name in names]
    found = {path.stem: path for path in paths if _SHARD.fullmatch(path.name)}
    return len(
        _unknown(database, {name: path for name, path in found.items() if _SHARD.fullmatch(path.name)})
    )


def _unknown(database: Database, found: Mapping[str, Path]) -> list[Path]:
    """Of shards by name, those that no row accounts for."""
    with database.read() as connection:
        known = set(connection.execute(select(shards.c.name)).scalars())
        known.update(connection.execute(select(unfinished_files.c.token)).scalars())
        dropped = set(connection.execute(select(doomed_files.c.pattern)).scalars())
    return [
        path
        for name, path in found.items()
        if name not in known
        and name.partition("-")[0] not in known
        and str(path.relative_to(database.home)) not in dropped
    ]


def shard_files(folder: Path) -> dict[str, Path]:
    """Every shard below a home's `vectors/`, by name."""
    found = {}
    with suppress(FileNotFoundError, NotADirectoryError):
        for space in (folder / "vectors").iterdir():
            if space.is_dir():
                found.update({path.stem: path for path in space.iterdir() if _SHARD.fullmatch(path.name)})
    return found


def identity_of(connection: Connection) -> str:
    """The catalogue's identity."""
    return str(connection.execute(select(home.c.identity)).scalar_one())


def read_identity(folder: Path) -> HomeIdentity | None:
    """The content of a home's file, None where there is none; raises `CatalogError` `bad-home` if damaged."""
    path = folder / FILE
    try:
        content = json.loads(path.read_bytes())
        return HomeIdentity(str(content["id"]), str(content["catalogue"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogError(
            "bad-home",
            f"{path} is damaged; restore it from a backup, or move it away if its catalogue is there.",
        ) from error


def _place(database: Database) -> str:
    """Where a catalogue is, as messages show it: without user and password."""
    url = database.url
    if database.is_sqlite:
        return "catalog.db" if url.database == str(database.home / "catalog.db") else str(url.database)
    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()


def _other(database: Database, held: HomeIdentity | None, what: str) -> CatalogError:
    was = f", whose catalogue was {held.catalogue};" if held is not None else ";"
    return CatalogError(
        "other-catalogue",
        f"The catalogue {_place(database)} {what} and cannot be used with the home {database.home}{was} "
        "nothing was changed: give the right one (MEDSIGLIP_DATABASE_URL, --home), or restore it from a "
        "backup and run `medsiglip index recover`; for a new archive choose another --home.",
    )
