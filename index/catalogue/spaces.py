"""The active space of a home, and the key of its pseudonyms."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, update

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.rows import insert_rows
from medsiglip.index.catalogue.schema import home, spaces
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Space

# The norm of a unit vector that was normalised in float32 is off by less than 1e-6; bfloat16 would be off by
# 4e-3.
_UNIT_TOLERANCE = 1e-3


class ActiveSpace(NamedTuple):
    """The space that a home works in, and its row id."""

    row_id: int
    space: Space


def active(connection: Connection) -> ActiveSpace | None:
    """The active space, or None in a new home."""
    row = connection.execute(select(spaces).join(home, home.c.space_id == spaces.c.id)).first()
    if row is None:
        return None
    return ActiveSpace(row.id, Space(row.checkpoint_hash, row.profile, row.dimension, row.model))


def activate(connection: Connection, space: Space) -> ActiveSpace:
    """The active space, which becomes this one if the home has none."""
    found = active(connection)
    if found is not None:
        return found
    row = {
        name: getattr(space, name) for name in ("name", "checkpoint_hash", "profile", "dimension", "model")
    }
    row_id = insert_rows(connection, spaces, [row])[0]
    connection.execute(update(home).values(space_id=row_id))
    return ActiveSpace(row_id, space)


def check(home_folder: Path, held: Space, wanted: Space) -> None:
    """Raise `CatalogError` `space-mismatch` unless vectors of the two spaces can be compared."""
    if held == wanted:
        return
    if held.checkpoint_hash == wanted.checkpoint_hash:
        way = f"Go on with the profile {held.profile}"
    elif held.model and held.model != wanted.model:
        way = f"Go on with `--model {held.model}`"
    else:
        way = f"Go on with the checkpoint whose hash begins with {held.checkpoint_hash[:12]}"
    raise CatalogError(
        "space-mismatch",
        f"{home_folder} was made with the model {_described(held)} and cannot be used with "
        f"{_described(wanted)}. {way}, or choose another --home and ingest again to embed "
        "everything with the new model.",
    )


def _described(space: Space) -> str:
    details = f"checkpoint {space.checkpoint_hash[:12]}, profile {space.profile}, {space.dimension} values"
    return f"{space.model or 'of unknown name'} ({details})"


def checked_vectors(vectors: NDArray[np.float32], count: int, dimension: int) -> NDArray[np.float32]:
    """Vectors as float32 [count, dimension]; raises `CatalogError` `bad-vectors`."""
    array = np.asarray(vectors, np.float32)
    if count == 0 and array.size == 0:
        return array.reshape(0, dimension)
    if array.shape != (count, dimension):
        raise CatalogError(
            "bad-vectors", f"{count} images need vectors of shape ({count}, {dimension}), not {array.shape}."
        )
    norms = np.linalg.norm(array, axis=1)
    # Not finite compares as false.
    if not (np.abs(norms - 1) <= _UNIT_TOLERANCE).all():
        raise CatalogError(
            "bad-vectors", "A vector is not finite or not of unit length; the encoder's output is broken."
        )
    return array


def key_fingerprint(connection: Connection) -> str | None:
    """The fingerprint of the key that the home is tied to, if any."""
    fingerprint: str | None = connection.execute(select(home.c.key_fingerprint)).scalar_one()
    return fingerprint


def phi(connection: Connection) -> str | None:
    """How much of a person's data the home keeps, None before `bind_key`."""
    kept: str | None = connection.execute(select(home.c.phi)).scalar_one()
    return kept


def bind_key(database: Database, fingerprint: str, wanted: str | None) -> None:
    """Tie the home to a key and to how much it keeps of a person; see `CaseIndex.bind_key`."""
    with database.read() as connection:
        bound, kept = key_fingerprint(connection), phi(connection)
    if bound is None:
        with database.write() as connection:
            new = update(home).where(home.c.key_fingerprint.is_(None))
            connection.execute(new.values(key_fingerprint=fingerprint, phi=wanted or "pseudonymous"))
            bound, kept = key_fingerprint(connection), phi(connection)
    if bound != fingerprint:
        raise CatalogError(
            "key-mismatch",
            f"The secret key is not the one that {database.home} was made with, so one patient would get "
            "two keys; put the original secret.key back, or choose another --home and ingest again.",
        )
    if wanted is not None and wanted != kept:
        raise CatalogError(
            "phi-mismatch",
            f"{database.home} was made with --phi {kept}, and one home keeps the same of every patient; "
            f"go on without --phi {wanted}, or choose another --home.",
        )
