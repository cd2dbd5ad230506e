"""Vectors on a Milvus server: one collection for each space and level of a home, in an HNSW index."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from medsiglip.index.engines.engine import (
    FIELDS,
    LEVELS,
    Candidates,
    Collection,
    Held,
    PushedFilter,
    VectorRows,
)
from medsiglip.index.engines.milvus import conditions
from medsiglip.index.engines.milvus.address import read_address
from medsiglip.index.engines.milvus.columns import ID, VECTOR, schema_of, stored
from medsiglip.index.engines.milvus.server_errors import (
    from_milvus,
    is_missing,
    is_unloaded,
    refused,
    unreachable,
)
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from medsiglip.index.vectors import Dtype, Ids, Vectors

if TYPE_CHECKING:
    from pymilvus import MilvusClient

Result = TypeVar("Result")

# A graph with 32 links in its lowest layer, found among 200 candidates, and looked through with twice as many
# as are asked for (Malkov and Yashunin, arXiv:1603.09320).
_LINKS, _BUILD_CANDIDATES, _LEAST_CANDIDATES, _MOST_CANDIDATES = 16, 200, 128, 32_768
_METRIC = "IP"
# A request and an answer may have 64 MB (milvus.io/docs/limitations.md).
_MOST_BYTES, _MOST_ANSWERS, _MOST_QUERIES = 16 << 20, 1_000_000, 1_000
_MOST_IDS = 10_000
_PATIENCE_S, _WRITE_PATIENCE_S = 15.0, 30.0


class MilvusEngine:
    """`VectorEngine` on a server and database that `url` names (`address.read_address`).

    A call that reads waits up to 15 seconds for a server that is away, one that writes up to 30. Writes are
    in Milvus's log when a call returns, and `flush` waits until the collections show them; searches need not
    wait after that, and read with bounded staleness. They do wait (strong consistency), for as long as the
    server's time ticks take, 200 ms by default, where a collection has several replicas, each of which shows
    a write in its own time, and with `?consistency=strong`.
    """

    def __init__(self, url: str, identity: str, password_file: Path | None = None) -> None:
        self._address = read_address(url, password_file)
        self._prefix = f"medsiglip_{identity}"
        self._lock = Lock()
        self._connected: MilvusClient | None = None
        # Of collections by their names: the consistency of searches, for those in the server's memory; which
        # were made complete; and which were written to since the last flush.
        self._loaded: dict[str, str] = {}
        self._made: set[str] = set()
        self._written: set[str] = set()

    @property
    def name(self) -> str:
        """As in `VectorEngine`."""
        return self._address.name

    @property
    def dtype(self) -> Dtype:
        """As in `VectorEngine`."""
        return "float32"

    @property
    def most(self) -> int:
        """As in `VectorEngine`."""
        return 16_384

    def put(self, collection: Collection, rows: VectorRows) -> None:
        """As in `VectorEngine`."""
        name = self._name(collection.space_id, collection.level)
        columns = {
            field: stored(field, kind, rows.fields[field]) for field, kind in FIELDS[collection.level].items()
        }
        ids = rows.ids.tolist()
        for low, high in _portions(len(ids), _MOST_BYTES // (4 * collection.dimension + 1024)):
            data = [
                {ID: ids[row], VECTOR: rows.vectors[row], **{field: columns[field][row] for field in columns}}
                for row in range(low, high)
            ]
            self._write(collection, name, data)

    def remove(self, collection: Collection, ids: Ids) -> None:
        """As in `VectorEngine`."""
        name = self._name(collection.space_id, collection.level)
        given = ids.tolist()
        for low, high in _portions(len(given), _MOST_IDS):
            self._ask(partial(_delete, name=name, ids=given[low:high]), None, name)
            with self._lock:
                self._written.add(name)

    def flush(self) -> None:
        """As in `VectorEngine`."""
        with self._lock:
            names, self._written = self._written, set()
        if not names:
            return
        try:
            with ThreadPoolExecutor(len(names)) as threads:
                list(threads.map(self._count, names))
        except CatalogError:
            with self._lock:
                self._written |= names
            raise

    def takes(self, level: Level, asked: PushedFilter) -> bool:
        """As in `VectorEngine`."""
        return conditions.takes(level, asked)

    def nearest(
        self, collection: Collection, queries: Vectors, count: int, filters: Sequence[PushedFilter] = ()
    ) -> Candidates:
        """As in `VectorEngine`."""
        name = self._name(collection.space_id, collection.level)
        candidates = min(max(2 * count, _LEAST_CANDIDATES), _MOST_CANDIDATES)
        asked = {
            "anns_field": VECTOR,
            "limit": count,
            "filter": conditions.condition(collection.level, filters),
            "search_params": {"metric_type": _METRIC, "params": {"ef": candidates}},
            "timeout": _PATIENCE_S,
        }
        ids: list[Ids] = []
        scores: list[Vectors] = []
        for low, high in _portions(len(queries), min(_MOST_QUERIES, max(1, _MOST_ANSWERS // count))):
            some = list(np.ascontiguousarray(queries[low:high], np.float32))

            def search(client: MilvusClient, some: list[Vectors] = some) -> Any:
                return client.search(name, data=some, consistency_level=self._wait_for(name), **asked)

            for hits in self._ask_loaded(name, search, [None] * len(some)):
                ids.append(np.array([] if hits is None else hits.ids, np.int64))
                scores.append(np.array([] if hits is None else hits.distances, np.float32))
        return Candidates(tuple(ids), tuple(scores))

    def held(self, collection: Collection, after: int, limit: int) -> Held:
        """As in `VectorEngine`."""
        name = self._name(collection.space_id, collection.level)
        at_once = min(self.most, _MOST_BYTES // (4 * collection.dimension))
        rows: list[dict[str, Any]] = []
        while len(rows) < limit:
            few = min(at_once, limit - len(rows))
            above = rows[-1][ID] if rows else after

            def query(client: MilvusClient, few: int = few, above: int = above) -> Any:
                return client.query(
                    name,
                    filter=f"{ID} > {above}",
                    output_fields=[ID, VECTOR],
                    limit=few,
                    # Of all segments the rows with the smallest ids, not the first that are at hand.
                    reduce_stop_for_best=True,
                    consistency_level="Strong",
                    timeout=_WRITE_PATIENCE_S,
                )

            found: list[dict[str, Any]] = self._ask_loaded(name, query, [])
            rows += sorted(found, key=lambda row: int(row[ID]))
            if len(found) < few:
                break
        vectors = np.array([row[VECTOR] for row in rows], np.float32).reshape(len(rows), collection.dimension)
        return Held(np.array([row[ID] for row in rows], np.int64), vectors)

    def count(self, collection: Collection) -> int:
        """As in `VectorEngine`."""
        return self._count(self._name(collection.space_id, collection.level))

    def spaces(self) -> list[int]:
        """As in `VectorEngine`."""

        def listed(client: MilvusClient) -> list[str]:
            return list(client.list_collections(timeout=_PATIENCE_S))

        pattern = re.compile(rf"{re.escape(self._prefix)}_(\d+)_(?:{'|'.join(LEVELS)})")
        nothing: list[str] = []
        found = map(pattern.fullmatch, self._ask(listed, nothing, self._prefix))
        return sorted({int(one[1]) for one in found if one is not None})

    def drop(self, space_id: int) -> None:
        """As in `VectorEngine`."""
        for level in LEVELS:
            name = self._name(space_id, level)
            self._forget(name)
            self._ask(partial(_drop, name=name), None, name)

    def close(self) -> None:
        """As in `VectorEngine`."""
        with self._lock:
            client, self._connected = self._connected, None
        if client is not None:
            client.close()

    def _name(self, space_id: int, level: Level) -> str:
        return f"{self._prefix}_{space_id}_{level}"

    def _count(self, name: str) -> int:
        """How many rows a collection has, by all that was written before: a strong read waits for it."""

        def query(client: MilvusClient) -> Any:
            return client.query(
                name,
                filter="",
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=_WRITE_PATIENCE_S,
            )

        found = self._ask_loaded(name, query, [{"count(*)": 0}])
        return int(found[0]["count(*)"])

    def _write(self, collection: Collection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Make a collection where it is not there, and write to it; another process may drop it meanwhile."""
        for _ in range(2):
            self._make(collection, name)
            with self._lock:
                self._written.add(name)
            if self._ask(partial(_upsert, name=name, rows=rows), False, name):
                return
        raise unreachable(self._address)

    def _make(self, collection: Collection, name: str) -> None:
        if name in self._made:
            return

        def make(client: MilvusClient) -> None:
            if not client.has_collection(name, timeout=_WRITE_PATIENCE_S):
                client.create_collection(
                    name, schema=schema_of(collection), consistency_level="Bounded", timeout=_WRITE_PATIENCE_S
                )
            _complete(client, name, wait=False)

        self._ask(make, None, name)
        with self._lock:
            self._made.add(name)

    def _wait_for(self, name: str) -> str:
        with self._lock:
            return self._loaded.get(name, "Strong")

    def _forget(self, name: str) -> None:
        with self._lock:
            self._made.discard(name)
            self._written.discard(name)
            self._loaded.pop(name, None)

    def _ask_loaded(self, name: str, call: Callable[[MilvusClient], Result], otherwise: Result) -> Result:
        """What a call on a collection in memory gives, `otherwise` if there is no such collection.

        A server that was restarted brings its collections back by itself, and says for a while that they are
        not there.
        """

        def ask(client: MilvusClient) -> Result:
            if name not in self._loaded and not self._load(client, name):
                return otherwise
            try:
                return call(client)
            except Exception as error:
                if not is_unloaded(error):
                    raise
                with self._lock:
                    self._loaded.pop(name, None)
            return call(client) if self._load(client, name) else otherwise

        return self._ask(ask, otherwise, name)

    def _load(self, client: MilvusClient, name: str) -> bool:
        """Bring a collection into memory, and find how searches have to wait; False if there is none."""
        if not client.has_collection(name, timeout=_PATIENCE_S):
            return False
        _complete(client, name, wait=True)
        replicas = client.describe_replica(name, timeout=_PATIENCE_S)
        is_strong = self._address.waits or len(replicas) > 1
        with self._lock:
            self._loaded[name] = "Strong" if is_strong else "Bounded"
        return True

    def _ask(self, call: Callable[[MilvusClient], Result], otherwise: Result, name: str) -> Result:
        """What a call on a collection gives, `otherwise` where that is not there.

        A node that was just started says so too of collections that are only not with it yet.
        """
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            client = self._client()
            try:
                return call(client)
            except MilvusException as error:
                if not is_missing(error):
                    raise
                self._forget(name)
                if client.has_collection(name, timeout=_PATIENCE_S):
                    raise unreachable(self._address) from None
                return otherwise
        except (MilvusException, grpc.RpcError) as error:
            raise from_milvus(error, self._address) from None

    def _client(self) -> MilvusClient:
        with self._lock:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def _connect(self) -> MilvusClient:
        try:
            from pymilvus import MilvusClient
        except ImportError:
            raise CatalogError(
                "missing-extra",
                "The vector engine Milvus needs pymilvus; install the extra: pip install medsiglip[milvus].",
            ) from None
        # It logs each failed call with a traceback and what was asked; this class raises it as an error.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
        address = self._address
        options: dict[str, Any] = {"secure": address.secure}
        if address.ca is not None:
            options["server_pem_path"] = str(address.ca)
        if address.server_name:
            options["server_name"] = address.server_name
        if address.user:
            options |= {"user": address.user, "password": address.password}
        client = MilvusClient(
            uri=address.uri, db_name=address.database, timeout=_PATIENCE_S, dedicated=True, **options
        )
        # Of one that is not there, Milvus only says that it holds no collection.
        if address.database not in client.list_databases(timeout=_PATIENCE_S):
            client.close()
            raise refused(address)
        return client


def _upsert(client: MilvusClient, name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    client.upsert(name, list(rows), timeout=_WRITE_PATIENCE_S)
    return True


def _delete(client: MilvusClient, name: str, ids: Sequence[int]) -> None:
    client.delete(name, ids=list(ids), timeout=_WRITE_PATIENCE_S)


def _drop(client: MilvusClient, name: str) -> None:
    if client.has_collection(name, timeout=_WRITE_PATIENCE_S):
        client.drop_collection(name, timeout=_WRITE_PATIENCE_S)


def _complete(client: MilvusClient, name: str, *, wait: bool) -> None:
    """Give a collection its index and bring it into memory, whatever of it was done before."""
    indexes = client.prepare_index_params()
    parameters = {"M": _LINKS, "efConstruction": _BUILD_CANDIDATES}
    indexes.add_index(VECTOR, index_type="HNSW", metric_type=_METRIC, params=parameters)
    client.create_index(name, indexes, timeout=_WRITE_PATIENCE_S, sync=False)
    client.load_collection(name, timeout=_WRITE_PATIENCE_S, _async=not wait)


def _portions(count: int, size: int) -> Iterator[tuple[int, int]]:
    for low in range(0, count, size):
        yield low, min(low + size, count)
