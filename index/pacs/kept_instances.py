"""Which instances the archive keeps as files, as storage commitment asks (PS3.4, annex J)."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.paths import HIDDEN
from medsiglip.index.catalogue.schema import files, instances


class KeptInstances:
    """The files of the instances of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def files_of(self, sop_instance_uids: Collection[str]) -> dict[str, list[tuple[str, str]]]:
        """SOP class UID ("" where it is not known) and path of each file of these instances, by SOP Instance
        UID; none in a home that stores no paths.
        """
        shown = func.substr(files.c.path, 1, len(HIDDEN)) != HIDDEN
        statement = (
            select(instances.c.sop_instance_uid, instances.c.sop_class_uid, files.c.path)
            .join(files, files.c.instance_id == instances.c.id)
            .where(one_of(instances.c.sop_instance_uid, list(sop_instance_uids)), shown)
        )
        found: dict[str, list[tuple[str, str]]] = {}
        with self._database.read() as connection:
            for uid, sop_class, path in connection.execute(statement):
                found.setdefault(uid, []).append((sop_class or "", path))
        return found

    def same_of(self, paths: Collection[str]) -> set[str]:
        """The paths of all files that may hold the same as one of these: of the same instances, and for a
        file without a picture those of its study without one. None in a home that stores no paths.
        """
        asked = select(files.c.instance_id, files.c.study_instance_uid)
        without = files.c.instance_id.is_(None)
        with self._database.read() as connection:
            rows = connection.execute(asked.where(one_of(files.c.path, list(paths)))).all()
            held = {row.instance_id for row in rows if row.instance_id is not None}
            studies = {row.study_instance_uid for row in rows if row.instance_id is None}
            named = [uid for uid in studies if uid is not None]
            theirs = select(files.c.path).where(one_of(files.c.instance_id, sorted(held)))
            found = set(connection.execute(theirs).scalars())
            if named:
                beside = and_(without, one_of(files.c.study_instance_uid, named))
                found.update(connection.execute(select(files.c.path).where(beside)).scalars())
        return found
