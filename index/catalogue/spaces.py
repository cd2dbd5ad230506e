"""The spaces of a home, of which one is active, and the key of its pseudonyms."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select, update

from medsiglip.index.catalogue.database import Database, key_in_use
from medsiglip.index.catalogue.rows import insert_rows
from medsiglip.index.catalogue.schema import home, images, spaces
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
    made = known(connection, space)
    connection.execute(update(home).values(space_id=made.row_id))
    return made


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
        f"{_described(wanted)}. {way}; or `index reembed --to {wanted.model or 'MODEL'}` embeds every image "
        "anew with it and then switches to it.",
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
            "two keys; put the newest secret.key there, which may have been rotated on another machine, or "
            "choose another --home and ingest again.",
        )
    if wanted is not None and wanted != kept:
        raise CatalogError(
            "phi-mismatch",
            f"{database.home} was made with --phi {kept}, and one home keeps the same of every patient; "
            f"go on without --phi {wanted}, or choose another --home.",
        )
    key_in_use.set((str(database.home), fingerprint))


class SpaceSummary(NamedTuple):
    """One of the spaces of a home, with the number of its images."""

    name: str
    model: str
    images: int
    active: bool


def summaries(connection: Connection) -> list[SpaceSummary]:
    """All spaces, the active one first."""
    counted = select(func.count()).where(images.c.space_id == spaces.c.id).scalar_subquery()
    held = connection.execute(select(home.c.space_id)).scalar_one()
    rows = connection.execute(select(spaces.c.id, spaces.c.name, spaces.c.model, counted))
    found = [SpaceSummary(name, model, count, row_id == held) for row_id, name, model, count in rows]
    return sorted(found, key=lambda one: (not one.active, one.name))


def others(connection: Connection, held: ActiveSpace) -> list[ActiveSpace]:
    """The spaces of the home but this one."""
    rows = connection.execute(select(spaces).where(spaces.c.id != held.row_id).order_by(spaces.c.id))
    return [
        ActiveSpace(row.id, Space(row.checkpoint_hash, row.profile, row.dimension, row.model)) for row in rows
    ]


def is_active(connection: Connection, held: ActiveSpace) -> bool:
    """Whether the home still works in this space."""
    return bool(connection.execute(select(home.c.space_id)).scalar_one() == held.row_id)


def require_active(connection: Connection, held: ActiveSpace) -> None:
    """Raise `CatalogError` `space-switched` unless the home still works in this space. In a write transaction
    the answer holds until its end.
    """
    if not is_active(connection, held):
        raise switched()


def require_held(connection: Connection, target: ActiveSpace) -> None:
    """Raise `CatalogError` `space-dropped` unless the home still has this space. In a write transaction the
    answer holds until its end.
    """
    if connection.execute(select(spaces.c.id).where(spaces.c.id == target.row_id)).first() is None:
        raise CatalogError(
            "space-dropped",
            f"The space {target.space.name} was dropped by `index drop-space` while images were embedded "
            "into it; run `index reembed` again.",
        )


def switched() -> CatalogError:
    """What ends the work that was begun in a space that the home does not work in any more."""
    return CatalogError(
        "space-switched",
        "The home was switched to another model by `index reembed` meanwhile; run the command again.",
    )


def known(connection: Connection, space: Space) -> ActiveSpace:
    """The row of a space, made if there is none; the active space stays."""
    row_id = connection.execute(select(spaces.c.id).where(spaces.c.name == space.name)).scalar()
    return ActiveSpace(_insert(connection, space) if row_id is None else row_id, space)


def _insert(connection: Connection, space: Space) -> int:
    names = ("name", "checkpoint_hash", "profile", "dimension", "model")
    return insert_rows(connection, spaces, [{name: getattr(space, name) for name in names}])[0]
