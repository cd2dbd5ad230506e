"""Vectors in PostgreSQL beside the catalogue, by the extension pgvector: filters are joined in SQL.

Each collection is a table `vectors_<space>_<level>` of the catalogue's own database, with an HNSW index.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    cast,
    column,
    exc,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy import delete as sql_delete
from sqlalchemy.types import UserDefinedType

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filters import conjunction, joined
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import LEVEL_IDS, images
from medsiglip.index.engines.engine import (
    LEVELS,
    Candidates,
    Collection,
    Held,
    PushedFilter,
    VectorRows,
)
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from medsiglip.index.vectors import Dtype, Ids, Vectors

# The first version with `hnsw.iterative_scan` (github.com/pgvector/pgvector, CHANGELOG).
_LEAST = (0, 8)
# Limits of hnsw.ef_search, and of an indexed halfvec (pgvector's README).
_MOST_EF, _LEAST_EF = 1000, 100
_MOST_VALUES = 4000
_TABLE = re.compile(rf"vectors_(\d+)_(?:{'|'.join(LEVELS)})")
# The first number of the advisory lock under which tables are made.
_LOCK = 5064663
# The header and trailer of binary COPY (postgresql.org/docs/current/sql-copy.html).
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)


class _HalfVector(UserDefinedType[Any]):
    """pgvector's `halfvec`, given as text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The name of the type."""
        return "halfvec"


class PgVectorEngine:
    """`VectorEngine` in the database of the catalogue. Where that is away, the catalogue's errors are raised
    (`database-unreachable`).
    """

    name = "pgvector"
    dtype: Dtype = "float16"
    most = 10_000

    def __init__(self, database: Database) -> None:
        """Raises `CatalogError` `no-pgvector` where the database has no such extension of version 0.8."""
        self._database = database
        self._known: set[str] = set()
        if database.url.get_backend_name() != "postgresql":
            raise _no_pgvector("the catalogue is SQLite in the home; set database_url to a PostgreSQL server")
        with database.read() as connection:
            version = _installed(connection)
        if version is None:
            self._install()
        elif version < _LEAST:
            raise _no_pgvector(f"the server has version {'.'.join(map(str, version))}, and 0.8 is needed")

    def _install(self) -> None:
        try:
            with self._database.write_service_tables() as connection:
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
                version = _installed(connection)
        except exc.DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            raise _no_pgvector(
                f"the extension vector cannot be made there ({reason}); install pgvector on the server, and "
                "have an administrator run CREATE EXTENSION vector"
            ) from None
        if version is None or version < _LEAST:
            raise _no_pgvector("the server's pgvector is older than 0.8")

    # Rows

    def put(self, collection: Collection, rows: VectorRows) -> None:
        """As in `VectorEngine`; the fields are those of the catalogue, which is joined."""
        if not len(rows.ids):
            return
        name = self._made(collection)
        content = _binary(rows.ids, rows.vectors)
        with self._database.write_service_tables() as connection:
            connection.execute(text(f"CREATE TEMP TABLE put_rows (LIKE {name}) ON COMMIT DROP"))
            driver: Any = connection.connection.driver_connection
            into = "COPY put_rows (id, embedding) FROM STDIN (FORMAT BINARY)"
            with driver.cursor() as cursor, cursor.copy(into) as copy:
                copy.write(content)
            connection.execute(
                text(
                    f"INSERT INTO {name} SELECT id, embedding FROM put_rows ORDER BY id "
                    "ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding"
                )
            )

    def remove(self, collection: Collection, ids: Ids) -> None:
        """As in `VectorEngine`."""
        if len(ids) and self._exists(collection):
            held = table(_name(collection), column("id", BigInteger))
            with self._database.write_service_tables() as connection:
                connection.execute(sql_delete(held).where(one_of(held.c.id, ids.tolist())))

    def flush(self) -> None:
        """As in `VectorEngine`: every transaction is on disk when it ends."""

    # Questions

    def takes(self, level: Level, asked: PushedFilter) -> bool:
        """As in `VectorEngine`: SQL applies every filter."""
        return True

    def nearest(
        self, collection: Collection, queries: Vectors, count: int, filters: Sequence[PushedFilter] = ()
    ) -> Candidates:
        """As in `VectorEngine`."""
        if not self._exists(collection):
            none = np.empty(0, np.int64), np.empty(0, np.float32)
            return Candidates((none[0],) * len(queries), (none[1],) * len(queries))
        ids, scores = [], []
        statement = _nearest(collection, count, filters)
        with self._database.read() as connection:
            connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
            effort = min(max(count, _LEAST_EF), _MOST_EF)
            connection.execute(text(f"SET LOCAL hnsw.ef_search = {effort}"))
            for query in queries:
                rows = connection.execute(statement, {"query": _as_text(query)}).all()
                ids.append(np.array([row[0] for row in rows], np.int64))
                scores.append(np.array([-row[1] for row in rows], np.float32))
        return Candidates(tuple(ids), tuple(scores))

    def held(self, collection: Collection, after: int, limit: int) -> Held:
        """As in `VectorEngine`."""
        if not self._exists(collection):
            return Held(np.empty(0, np.int64), np.empty((0, collection.dimension), np.float32))
        chosen = f"SELECT id, embedding FROM {_name(collection)} WHERE id > {int(after)} ORDER BY id"
        out = f"COPY ({chosen} LIMIT {int(limit)}) TO STDOUT (FORMAT BINARY)"
        with self._database.read() as connection:
            driver: Any = connection.connection.driver_connection
            with driver.cursor() as cursor, cursor.copy(out) as copy:
                content = b"".join(bytes(part) for part in copy)
        rows = np.frombuffer(content[len(_HEADER) : -len(_TRAILER)], _row_type(collection.dimension))
        return Held(rows["id"].astype(np.int64), rows["values"].astype(np.float32))

    def count(self, collection: Collection) -> int:
        """As in `VectorEngine`."""
        if not self._exists(collection):
            return 0
        with self._database.read() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {_name(collection)}")).scalar_one())

    def spaces(self) -> list[int]:
        """As in `VectorEngine`."""
        with self._database.read() as connection:
            names = inspect(connection).get_table_names()
        return sorted({int(found[1]) for found in map(_TABLE.fullmatch, names) if found is not None})

    def drop(self, space_id: int) -> None:
        """As in `VectorEngine`."""
        self._known.clear()
        with self._database.write_service_tables() as connection:
            for level in LEVELS:
                connection.execute(text(f"DROP TABLE IF EXISTS {_name(Collection(space_id, level, 0))}"))

    def close(self) -> None:
        """As in `VectorEngine`; the connections are the catalogue's."""

    # Tables

    def _exists(self, collection: Collection) -> bool:
        """Another process may drop it and make it again at any time."""
        with self._database.read() as connection:
            return inspect(connection).has_table(_name(collection))

    def _made(self, collection: Collection) -> str:
        """The name of the table of a collection, which is made if it is not there."""
        name = _name(collection)
        if collection.dimension > _MOST_VALUES:
            raise _no_pgvector(f"it indexes vectors of at most {_MOST_VALUES} values")
        if not self._exists(collection):
            with self._database.write_service_tables() as connection:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
                connection.execute(
                    text(
                        f"CREATE TABLE IF NOT EXISTS {name} "
                        f"(id bigint PRIMARY KEY, embedding halfvec({collection.dimension}) NOT NULL)"
                    )
                )
                connection.execute(
                    text(
                        f"CREATE INDEX IF NOT EXISTS ix_{name}_embedding ON {name} "
                        "USING hnsw (embedding halfvec_ip_ops)"
                    )
                )
        return name


def _name(collection: Collection) -> str:
    return f"vectors_{int(collection.space_id)}_{collection.level}"


def _nearest(collection: Collection, count: int, filters: Sequence[PushedFilter]) -> Any:
    """The statement that finds ids and negative inner products with `query`, best first."""
    held = table(_name(collection), column("id", BigInteger), column("embedding", _HalfVector()))
    distance = held.c.embedding.op("<#>")(cast(bindparam("query"), _HalfVector()))
    chosen = select(held.c.id, distance)
    if filters:
        conditions = [one.condition for one in filters]
        passing = select(LEVEL_IDS[collection.level]).select_from(joined(conditions))
        passing = passing.where(conjunction(conditions), images.c.space_id == collection.space_id)
        chosen = chosen.where(held.c.id.in_(passing))
    return chosen.order_by(distance).limit(count)


def _row_type(dimension: int) -> np.dtype[Any]:
    """A row of binary COPY: a bigint and a halfvec, each behind its length (halfvec_send of pgvector)."""
    return np.dtype(
        [
            ("columns", ">i2"),
            ("id_bytes", ">i4"),
            ("id", ">i8"),
            ("vector_bytes", ">i4"),
            ("dimension", ">i2"),
            ("unused", ">i2"),
            ("values", ">f2", (dimension,)),
        ]
    )


def _binary(ids: Ids, vectors: NDArray[np.float32]) -> bytes:
    dimension = vectors.shape[1]
    rows = np.zeros(len(ids), _row_type(dimension))
    rows["columns"], rows["id_bytes"], rows["vector_bytes"] = 2, 8, 4 + 2 * dimension
    rows["id"], rows["dimension"], rows["values"] = ids, dimension, vectors.astype(np.float16)
    return _HEADER + rows.tobytes() + _TRAILER


def _as_text(vector: NDArray[np.float32]) -> str:
    return "[" + ",".join(map(repr, vector.astype(np.float64).tolist())) + "]"


def _installed(connection: Connection) -> tuple[int, ...] | None:
    """The version of the extension in this database, None without it."""
    found = connection.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")).scalar()
    return None if found is None else tuple(int(part) for part in str(found).split(".")[:2])


def _no_pgvector(why: str) -> CatalogError:
    return CatalogError(
        "no-pgvector", f"The catalogue's database cannot hold vectors: {why}; or leave vector_url out."
    )
