"""Thumbnails of images: stored with them, looked up for lists, and which images still lack theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select

from medsiglip.index.catalogue.browsing.schema import thumbnails
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import insert_columns
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, images, instances, series, studies
from medsiglip.index.errors import CatalogError

_TAG_DIGITS = 32
# `burned_in` of images that may be shown (medsiglip.ingest.header.burned_in).
_MAY_BE_SHOWN = "no"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG of some kilobytes; `tag` is a hash of it."""

    tag: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ShownImage:
    """What a list shows of an image; `thumbnail` is None where none is stored."""

    image_id: int
    study_instance_uid: str
    series_instance_uid: str
    quality: Mapping[str, Any]
    thumbnail: Thumbnail | None


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image that may be shown and has no thumbnail, and where it comes from."""

    image_id: int
    sop_instance_uid: str
    frame: int
    pixel_hash: str
    rendering: str


@dataclass(frozen=True, slots=True)
class ThumbnailCount:
    """Of the images of the active space that may be shown: how many there are, and how many have a
    thumbnail.
    """

    images: int
    thumbnails: int


def tag_of(content: bytes) -> str:
    """The tag of a thumbnail: the first half of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:_TAG_DIGITS]


def insert_thumbnails(connection: Connection, contents: Mapping[int, bytes]) -> None:
    """Store thumbnails by the ids of images that have none; empty ones are left out."""
    kept = {image_id: content for image_id, content in contents.items() if content}
    columns: dict[str, Sequence[Any]] = {
        "image_id": list(kept),
        "tag": [tag_of(content) for content in kept.values()],
        "content": list(kept.values()),
    }
    insert_columns(connection, thumbnails, columns)


def delete_thumbnails(connection: Connection, of_images: ColumnElement[bool]) -> None:
    """Delete the thumbnails of the images for which a condition on `images` holds; before their rows."""
    connection.execute(
        delete(thumbnails).where(thumbnails.c.image_id.in_(select(images.c.id).where(of_images)))
    )


class ThumbnailStore:
    """The thumbnails of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def shown(self, image_ids: Collection[int]) -> dict[int, ShownImage]:
        """Those of these images that are there, in any space, by id."""
        statement = (
            select(
                images.c.id,
                studies.c.study_instance_uid,
                series.c.series_instance_uid,
                images.c.quality,
                thumbnails.c.tag,
                thumbnails.c.content,
            )
            .join(studies, images.c.study_id == studies.c.id)
            .join(series, images.c.series_id == series.c.id)
            .outerjoin(thumbnails, thumbnails.c.image_id == images.c.id)
            .where(one_of(images.c.id, list(image_ids)))
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return {
            row.id: ShownImage(
                row.id,
                row.study_instance_uid,
                row.series_instance_uid,
                row.quality,
                None if row.tag is None else Thumbnail(row.tag, bytes(row.content)),
            )
            for row in rows
        }

    def one(self, image_id: int) -> ShownImage:
        """One image, in any space; raises `CatalogError` `unknown-image`."""
        for image in self.shown([image_id]).values():
            return image
        raise CatalogError("unknown-image", f"There is no image {image_id} in this index.")

    def put(self, contents: Mapping[int, bytes]) -> int:
        """Store thumbnails by image id, but for images that were deleted meanwhile and those that have one;
        returns how many.
        """
        # Locked, so that none of the images goes and nobody else adds the same before the commit.
        held = select(images.c.id).where(one_of(images.c.id, list(contents))).order_by(images.c.id)
        had = select(thumbnails.c.image_id).where(one_of(thumbnails.c.image_id, list(contents)))
        with self._database.write_service_tables() as connection:
            there = set(connection.execute(held.with_for_update(key_share=True)).scalars())
            new = there - set(connection.execute(had).scalars())
            kept = {image_id: contents[image_id] for image_id in sorted(new) if contents[image_id]}
            insert_thumbnails(connection, kept)
        return len(kept)

    def count(self) -> ThumbnailCount:
        """How many of the images that may be shown have a thumbnail."""
        every = select(func.count()).select_from(images).where(*_may_be_shown())
        lacking = every.where(~_has_thumbnail())
        with self._database.read() as connection:
            total = connection.execute(every).scalar_one()
            return ThumbnailCount(total, total - connection.execute(lacking).scalar_one())

    def series_lacking(self, after: int, most: int) -> list[tuple[int, str]]:
        """Row ids, above `after`, and UIDs of series of which images that may be shown have no thumbnail; at
        most so many, by id.
        """
        lacking = select(images.c.series_id).where(*_may_be_shown(), ~_has_thumbnail())
        lacking = lacking.where(images.c.series_id > after).distinct()
        lacking = lacking.order_by(images.c.series_id).limit(most)
        statement = select(series.c.id, series.c.series_instance_uid)
        statement = statement.where(series.c.id.in_(lacking.scalar_subquery())).order_by(series.c.id)
        with self._database.read() as connection:
            return [(row.id, row.series_instance_uid) for row in connection.execute(statement)]

    def lacking_in(self, series_instance_uid: str) -> list[SourceImage]:
        """The images of a series, in all spaces, that may be shown and have no thumbnail, by id."""
        statement = (
            select(
                images.c.id,
                instances.c.sop_instance_uid,
                images.c.frame,
                instances.c.pixel_hash,
                images.c.rendering,
            )
            .join(instances, images.c.instance_id == instances.c.id)
            .join(series, images.c.series_id == series.c.id)
            .where(series.c.series_instance_uid == series_instance_uid)
            .where(images.c.quality["burned_in"].as_string() == _MAY_BE_SHOWN, ~_has_thumbnail())
            .order_by(images.c.id)
        )
        with self._database.read() as connection:
            return [SourceImage(*row) for row in connection.execute(statement)]


def _may_be_shown() -> tuple[ColumnElement[bool], ...]:
    return images.c.space_id == ACTIVE_SPACE, images.c.quality["burned_in"].as_string() == _MAY_BE_SHOWN


def _has_thumbnail() -> ColumnElement[bool]:
    return exists().where(thumbnails.c.image_id == images.c.id)
