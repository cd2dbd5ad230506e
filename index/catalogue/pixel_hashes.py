"""Pixel hashes of earlier versions, SHA-256 without a name, are renewed as the same pixels are seen again.

Pixels are compared by the text of their hash everywhere: across instances, files and labels. So one hash is
renewed in all rows at once, and the same pixels never stand under two.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, exists, false, not_, or_, select, update

from medsiglip.index.catalogue.browsing.schema import reader_labels
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import files, home, instances, labels

# Of pictures and volumes, which have neither UID, the hash is that of the file, the same in all versions.
_IS_DICOM = or_(instances.c.transfer_syntax_uid.is_not(None), instances.c.sop_class_uid.is_not(None))
_ANY_OLDER = select(exists().where(_IS_DICOM, not_(instances.c.pixel_hash.contains(":"))))


class PixelHashStore:
    """The pixel hashes of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any_older(self) -> bool:
        """Whether instances of an earlier version are left whose pixels were not seen since."""
        with self._database.read() as connection:
            if not connection.execute(select(home.c.older_pixel_hashes)).scalar_one():
                return False
            return bool(connection.execute(_ANY_OLDER).scalar_one())

    def renew(self, values: Mapping[str, str]) -> None:
        """Give pixels that were stored under an older hash their new one, by the older; ignore others."""
        if not values:
            return
        with self._database.read() as connection:
            held = select(instances.c.pixel_hash).where(one_of(instances.c.pixel_hash, list(values)))
            found = set(connection.execute(held).scalars())
        if not found:
            return
        rows = [{"older": older, "newer": values[older]} for older in sorted(found)]
        other, given = instances.alias(), labels.alias()
        newer = bindparam("newer", type_=instances.c.pixel_hash.type)
        # A row that stands there already under the new hash is not made twice.
        same_instance = exists().where(
            other.c.sop_instance_uid == instances.c.sop_instance_uid, other.c.pixel_hash == newer
        )
        same_label = exists().where(
            given.c.level == labels.c.level,
            given.c.uid == labels.c.uid,
            given.c.name == labels.c.name,
            given.c.pixel_hash == newer,
        )
        with self._database.write() as connection:
            tables = (
                (instances, same_instance),
                (labels, same_label),
                (reader_labels, false()),
                (files, false()),
            )
            for table, taken in tables:
                chosen = (table.c.pixel_hash == bindparam("older"), not_(taken))
                connection.execute(update(table).where(*chosen).values(pixel_hash=newer), rows)
            if not connection.execute(_ANY_OLDER).scalar_one():
                connection.execute(update(home).values(older_pixel_hashes=False))

    def as_stored(self, values: Mapping[str, str]) -> dict[str, str]:
        """Of new hashes, each with the older hash of the same pixels: those whose pixels still stand under
        the older one, with that.
        """
        statement = select(instances.c.pixel_hash).where(
            one_of(instances.c.pixel_hash, list(values.values()))
        )
        with self._database.read() as connection:
            held = set(connection.execute(statement).scalars())
        return {newer: older for newer, older in values.items() if older in held}
