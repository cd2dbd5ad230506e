"""The tables of the cases (SQLAlchemy Core), the same on SQLite and PostgreSQL.

Row ids come from the one counter `home.next_id` and are never given twice: an id kept elsewhere (a preview, a
snapshot, a client) may no longer exist, but never means another row. They rise in the order of commits, so
rows that came later have higher ids than all that a reader has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
    select,
)
from sqlalchemy.types import TypeDecorator

# Only a column declared INTEGER PRIMARY KEY is SQLite's rowid (sqlite.org/lang_createtable.html#rowid).
Id = BigInteger().with_variant(Integer(), "sqlite")

# Bytes of a file name that are not UTF-8 arrive as U+DC80..U+DCFF (PEP 383), which no database takes.
_SURROGATES = {0xDC80 + i: 0xEF80 + i for i in range(128)}
_PRIVATE_USE = {there: here for here, there in _SURROGATES.items()}


class PathText(TypeDecorator[str]):
    """A file path of any bytes: PEP 383 surrogates are stored as U+EF80..U+EFFF."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To the database."""
        return value if value is None or value.isascii() else value.translate(_SURROGATES)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """From the database."""
        return value if value is None or value.isascii() else value.translate(_PRIVATE_USE)


class PathJson(TypeDecorator[Any]):
    """JSON that may hold paths of any bytes. Both databases store the escape of a lone surrogate, but fail at
    every statement that then looks for anything in the document.
    """

    impl = JSON
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Members are compared as JSON's are."""
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """To the database."""
        return with_paths(value, to_stored)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From the database."""
        return with_paths(value, from_stored)


# What a stored string begins with that was changed; it is in the private use area.
_CHANGED = "\uef00"


def to_stored(text: str) -> str:
    """A string of a `PathJson` without surrogates."""
    stored = text.translate(_SURROGATES)
    return _CHANGED + stored if stored != text or text.startswith(_CHANGED) else text


def from_stored(text: str) -> str:
    """The string that `to_stored` was given."""
    return text[1:].translate(_PRIVATE_USE) if text.startswith(_CHANGED) else text


def with_paths(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every string, and every name, changed."""
    if isinstance(value, str):
        return value if value.isascii() else change(value)
    if isinstance(value, dict):
        return {with_paths(name, change): with_paths(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_paths(item, change) for item in value]
    return value


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware on both sides; SQLite itself forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _key() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=False)


def _owner(name: str, target: str, **options: Any) -> Column[int]:
    return Column(name, Id, ForeignKey(f"{target}.id"), nullable=False, **options)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row. Every write transaction begins by raising `version`: this is the writers' lock, and tells readers
# that something changed. `newest_id` is the highest id that a row has had: those from there to `next_id` are
# reserved for transactions to come (medsiglip.index.catalogue.rows). `identity` is also in a file of the home
# (medsiglip.index.catalogue.identity); `older_pixel_hashes` says that some may be of an earlier version
# (medsiglip.index.catalogue.pixel_hashes), and `vector_engine` where vectors lie beside the shards
# (medsiglip.index.engines), NULL for nowhere. `object_store` is where the files lie that rows name
# (medsiglip.index.objects), NULL before the first opening.
home = Table(
    "home",
    metadata,
    _key(),
    Column("version", BigInteger, nullable=False),
    Column("next_id", BigInteger, nullable=False),
    Column("newest_id", BigInteger, nullable=False, server_default="0"),
    Column("space_id", Id, ForeignKey("spaces.id")),
    Column("key_fingerprint", String),
    Column("phi", String),
    Column("identity", String(32)),
    Column("older_pixel_hashes", Boolean, nullable=False, server_default=false()),
    Column("vector_engine", String),
    Column("object_store", String),
    CheckConstraint("id = 1", name="single_row"),
)

spaces = Table(
    "spaces",
    metadata,
    _key(),
    Column("name", String, nullable=False, unique=True),
    Column("checkpoint_hash", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("model", String, nullable=False),
)

ACTIVE_SPACE = select(home.c.space_id).scalar_subquery()
"""The row id of the space that the home works in, NULL before there is one."""

patients = Table("patients", metadata, _key(), Column("patient_key", String, nullable=False, unique=True))

studies = Table(
    "studies",
    metadata,
    _key(),
    _owner("patient_id", "patients", index=True),
    Column("study_instance_uid", String, nullable=False, unique=True),
    Column("patient_sex", String),
    Column("patient_age", Double),
    Column("study_date", String(10)),
    Column("study_time", String(8)),
    Column("study_description", String),
    Column("identity", JSON(none_as_null=True)),
    Column("added_at", UtcDateTime, nullable=False),
)

series = Table(
    "series",
    metadata,
    _key(),
    _owner("study_id", "studies"),
    Column("series_instance_uid", String, nullable=False, index=True),
    Column("modality", String),
    Column("body_part_examined", String),
    Column("view_position", String),
    Column("laterality", String),
    Column("series_description", String),
    Column("manufacturer", String),
    Column("orientation", String),
    UniqueConstraint("study_id", "series_instance_uid"),
)

instances = Table(
    "instances",
    metadata,
    _key(),
    _owner("series_id", "series", index=True),
    Column("sop_instance_uid", String, nullable=False),
    Column("pixel_hash", String, nullable=False, index=True),
    Column("sop_class_uid", String),
    Column("transfer_syntax_uid", String),
    Column("photometric_interpretation", String),
    Column("rows", Integer),
    Column("columns", Integer),
    Column("number_of_frames", Integer),
    Column("instance_number", Integer),
    UniqueConstraint("sop_instance_uid", "pixel_hash"),
)

# `checksum` is that of the file, with its algorithm (medsiglip.index.checksums); NULL for shards of earlier
# versions.
shards = Table(
    "shards",
    metadata,
    _key(),
    _owner("space_id", "spaces", index=True),
    Column("name", String, nullable=False, unique=True),
    Column("rows", Integer, nullable=False),
    Column("dtype", String, nullable=False),
    Column("checksum", String),
)

# series_id and study_id repeat what instance_id implies: grouping a million vectors must not join three
# tables.
images = Table(
    "images",
    metadata,
    _key(),
    _owner("space_id", "spaces"),
    _owner("instance_id", "instances"),
    _owner("series_id", "series", index=True),
    _owner("study_id", "studies", index=True),
    _owner("shard_id", "shards", index=True),
    Column("frame", Integer, nullable=False),
    Column("slice_index", Integer),
    Column("rendering", String, nullable=False),
    Column("rendering_params", JSON, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("quality", JSON, nullable=False),
    UniqueConstraint("instance_id", "space_id", "frame", "rendering"),
)

LEVEL_IDS = {"image": images.c.id, "series": images.c.series_id, "study": images.c.study_id}
"""The column of `images` that holds the row id of each level."""

# `patient_key` and `study_instance_uid` are those of refused files; of other files, `instance_id` leads to
# both.
files = Table(
    "files",
    metadata,
    _key(),
    Column("path", PathText, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("content_hash", String),
    Column("outcome", String, nullable=False),
    Column("code", String),
    Column("reason", String),
    Column("sop_instance_uid", String),
    Column("pixel_hash", String),
    Column("patient_key", String),
    Column("study_instance_uid", String),
    Column("instance_id", Id, ForeignKey("instances.id"), index=True),
)

# Keyed by UID, not by row, so that labels outlive a re-ingest. `pixel_hash` is '' unless the key was a path.
# `is_class` says that the name was the one class of its key, which another class replaces; `class_column`
# names the column it stood in (medsiglip.index.catalogue.labels.class_columns), NULL for those of earlier
# versions.
labels = Table(
    "labels",
    metadata,
    _key(),
    Column("level", String, nullable=False),
    Column("uid", String, nullable=False),
    Column("pixel_hash", String, nullable=False),
    Column("name", String, nullable=False, index=True),
    Column("value", Double, nullable=False),
    Column("is_class", Boolean, nullable=False),
    Column("class_column", String, index=True),
    UniqueConstraint("level", "uid", "pixel_hash", "name"),
    CheckConstraint("level IN ('study', 'series', 'instance')", name="level"),
)

probes = Table(
    "probes",
    metadata,
    _key(),
    _owner("space_id", "spaces"),
    Column("name", String, nullable=False),
    Column("file", String, nullable=False),
    Column("summary", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    UniqueConstraint("name", "version"),
)

# Files to delete, by glob relative to the home: deleted after the transaction that lists them, or by the next
# process that writes if this one died in between (medsiglip.index.storage.sweeping). `since` is NULL in rows
# of earlier versions.
doomed_files = Table(
    "doomed_files",
    metadata,
    _key(),
    Column("pattern", String, nullable=False),
    Column("since", UtcDateTime),
)

# What the vector engine has not been told (medsiglip.index.engines.outbox). The ids are the table's own and
# are never given twice; rows outlive what they name.
vector_changes = Table(
    "vector_changes",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("space_id", Id, nullable=False),
    Column("image_id", Id, nullable=False),
    Column("series_id", Id, nullable=False),
    Column("study_id", Id, nullable=False),
    Column("kind", String(4), nullable=False),
    CheckConstraint("kind IN ('put', 'gone', 'drop')", name="kind"),
    Index("ix_vector_changes_study_id", "study_id"),
    sqlite_autoincrement=True,
)

Index("ix_studies_study_date", studies.c.study_date)
Index("ix_studies_added_at", studies.c.added_at)
Index("ix_studies_patient_age", studies.c.patient_age)
