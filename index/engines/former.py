"""What a home leaves behind in an engine that it is not put to any more."""

from __future__ import annotations

import logging

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.identity import identity_of
from medsiglip.index.engines.opening import PGVECTOR, EngineSetting, connect
from medsiglip.index.errors import CatalogError

_log = logging.getLogger("medsiglip.index")


def drop_former(database: Database, name: str) -> None:
    """Drop everything of the home in the engine of this name. The catalogue does not remember a password: an
    engine that needs one, or is away, is left as it is, and a warning names what is there.
    """
    try:
        engine = connect(EngineSetting(name), database)
        try:
            for space_id in engine.spaces():
                engine.drop(space_id)
        finally:
            engine.close()
    except CatalogError as error:
        with database.read() as connection:
            identity = identity_of(connection)
        kept = "tables vectors_*" if name == PGVECTOR else f"collections medsiglip_{identity}_*"
        _log.warning(
            "%s keeps its vectors of this home, which are yours to delete (%s): %s", name, kept, error.code
        )
