"""Which vector engine a setting means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.identity import identity_of
from medsiglip.index.engines.engine import VectorEngine
from medsiglip.index.errors import CatalogError

PGVECTOR = "pgvector"
MILVUS = ("milvus://", "milvuss://")


@dataclass(frozen=True, slots=True)
class EngineSetting:
    """The settings `vector_url`, `pgvector` or `milvus://[user@]host:port[/database]` (`milvuss` with TLS),
    and `vector_password_file`, which holds the password of that user. Neither is shown by `repr`.
    """

    url: str
    password_file: Path | None = None

    def __repr__(self) -> str:
        return "EngineSetting(...)"


def connect(setting: EngineSetting, database: Database) -> VectorEngine:
    """The engine of a home; raises `CatalogError` `bad-engine` for a setting that means none, `no-pgvector`,
    `missing-extra`, `engine-unreachable` or `engine-refused`.
    """
    with database.read() as connection:
        identity = identity_of(connection)
    if setting.url == PGVECTOR:
        from medsiglip.index.engines.pgvector import PgVectorEngine

        return PgVectorEngine(database)
    if setting.url.startswith(MILVUS):
        from medsiglip.index.engines.milvus.milvus_engine import MilvusEngine

        return MilvusEngine(setting.url, identity, setting.password_file)
    raise CatalogError(
        "bad-engine",
        "The setting vector_url names no engine; write pgvector or milvus://host:port, or leave it out for "
        "an index in memory.",
    )
