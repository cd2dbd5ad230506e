"""Tables of what people look at and leave behind: thumbnails, labels of readers, collections, maps, views and
sessions.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from medsiglip.index.catalogue.schema import Id, UtcDateTime, metadata

# A picture of some kilobytes for each image that may be shown, in the row: it is added, copied and deleted in
# the same transactions as its image. `tag` is a hash of the picture, its ETag.
thumbnails = Table(
    "thumbnails",
    metadata,
    Column("image_id", Id, ForeignKey("images.id"), primary_key=True, autoincrement=False),
    Column("tag", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# Append-only: of each reader, case and name the last row counts; a `value` of NULL is a label taken back. The
# rows of one `action`, the id of its first, were written together; those that undid them name it in `undoes`.
# `reader` is '' for what was stored before readers were noted, and for what the files of cases say. The label
# of the archive, in `labels`, follows from them (medsiglip.index.catalogue.readers.consensus).
reader_labels = Table(
    "reader_labels",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("level", String, nullable=False),
    Column("uid", String, nullable=False, index=True),
    Column("pixel_hash", String, nullable=False),
    Column("name", String, nullable=False),
    Column("value", Double),
    Column("is_class", Boolean, nullable=False),
    Column("class_column", String),
    Column("reader", String, nullable=False),
    Column("given_at", UtcDateTime, nullable=False),
    Column("action", BigInteger, nullable=False, index=True),
    Column("undoes", BigInteger, index=True),
    CheckConstraint("level IN ('study', 'series', 'instance')", name="level"),
)
Index("ix_reader_labels_name", reader_labels.c.name, reader_labels.c.reader, reader_labels.c.id)
Index("ix_reader_labels_reader", reader_labels.c.reader, reader_labels.c.action)

# Cases that somebody put together under a name.
collections = Table(
    "collections",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False, unique=True),
    Column("author", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

collection_cases = Table(
    "collection_cases",
    metadata,
    Column("collection_id", Id, ForeignKey("collections.id"), primary_key=True, autoincrement=False),
    Column("study_id", Id, ForeignKey("studies.id"), primary_key=True, autoincrement=False, index=True),
    Column("added_at", UtcDateTime, nullable=False),
)

# Coordinates of the vectors of a space in a plane, in `file` of the home's folder `maps/`.
maps = Table(
    "maps",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("space_id", Id, ForeignKey("spaces.id"), nullable=False),
    Column("level", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("file", String, nullable=False),
    Column("summary", JSON(none_as_null=True), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("space_id", "level", "version"),
)

# Questions that a person keeps: the page and the query of its address. Filters may name a patient key, so
# they are kept here and not in the browser.
saved_views = Table(
    "saved_views",
    metadata,
    Column("owner", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("page", String, nullable=False),
    Column("query", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# `token_hash` is SHA-256 of 256 random bits, as for API keys; the session can do what its key can. The row is
# deleted when the session ends.
sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("key_id", String(16), ForeignKey("api_keys.id"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)
