"""Pictures that the archive holds more than once, and those among them that show nearly nothing: two black
pictures are the same whoever they are of.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select

from medsiglip.index.catalogue.conditions.quality import equals_any
from medsiglip.index.catalogue.schema import images, instances


def repeated_hashes() -> Select[str]:
    """The pixel hashes of more than one instance."""
    return select(instances.c.pixel_hash).group_by(instances.c.pixel_hash).having(func.count() > 1)


def is_repeated() -> ColumnElement[bool]:
    """The condition that another instance has the pixels of this one, looked up for each instance."""
    other = instances.alias()
    return exists().where(other.c.pixel_hash == instances.c.pixel_hash, other.c.id != instances.c.id)


def blank_hashes(connection: Connection, hashes: Select[str] | ColumnElement[bool]) -> frozenset[str]:
    """Those pixel hashes, of a selection or where a condition on instances holds, of which there are images,
    and all are nearly blank.
    """
    near_blank = equals_any("near_blank", ("1", "true"))
    chosen = instances.c.pixel_hash.in_(hashes) if isinstance(hashes, Select) else hashes
    of_images = (
        select(instances.c.pixel_hash).join(images, images.c.instance_id == instances.c.id).where(chosen)
    )
    statement = of_images.where(near_blank).except_(of_images.where(~near_blank))
    return frozenset(connection.execute(statement).scalars())
