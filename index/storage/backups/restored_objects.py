"""The objects of a home that is being restored: an empty place gets them all, or none."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medsiglip.index.catalogue.identity import FILE as IDENTITY
from medsiglip.index.catalogue.identity import put_identity, stored_identity
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import FOLDERS, ObjectStore
from medsiglip.index.objects.opening import ObjectPlace, open_store

RESTORING = "restoring"
"""The object that marks a place as one that a restore fills; it holds the identity of the archive."""
_EVERY = [f"{folder}/*" + "/*" * (depth - 2) for folder, depth in FOLDERS.items()]


class RestoredObjects:
    """What was put into a place so far."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._names: list[str] = []

    def put(self, file: Path, name: str) -> None:
        """Store a file as an object."""
        self._names.append(name)  # one that is cut off may be there all the same
        try:
            _put(file, self.store, name)
        except CatalogError as error:
            if error.code == "object-exists":
                self._names.remove(name)
            raise

    def finish(self) -> None:
        """The archive is about to be committed: from here on, no later restore may clear the place."""
        if self.store.is_remote:
            self.store.delete([RESTORING])

    def take_back(self) -> None:
        """Delete what was put, and nothing else."""
        if not self.store.sweep([*self._names, IDENTITY]):
            self.store.sweep([RESTORING])  # with it, a later restore clears what remains


@contextmanager
def restoring(unfinished: Path, place: ObjectPlace, identity: str) -> Iterator[RestoredObjects]:
    """The place for files of a home that is being restored. A bucket must hold nothing there but what a
    restore of the same archive left that was killed, and gets nothing where the block fails.

    Raises `CatalogError` `other-object-store`.
    """
    store = open_store(unfinished, place)
    objects = RestoredObjects(store)
    if not store.is_remote:
        yield objects
        return
    _require_empty(store, identity)
    store.put_new(RESTORING, [memoryview(identity.encode())])
    put_identity(store, identity)
    try:
        yield objects
    except BaseException:
        objects.take_back()
        raise


def _require_empty(store: ObjectStore, identity: str) -> None:
    if _is_unfinished(store, identity):
        if store.sweep([*_EVERY, IDENTITY, RESTORING]):
            raise CatalogError(
                "other-object-store",
                f"{store.url} holds what an earlier restore of this backup left, and it cannot be deleted: "
                "name an empty place.",
            )
    elif stored_identity(store) is not None:
        raise CatalogError("other-object-store", f"{store.url} is an archive's: name an empty place.")
    elif any(store.matching(pattern) for pattern in _EVERY):
        raise CatalogError(
            "other-object-store",
            f"{store.url} holds files below {', '.join(FOLDERS)}: name an empty place.",
        )


def _is_unfinished(store: ObjectStore, identity: str) -> bool:
    try:
        return store.read(RESTORING) == identity.encode()
    except FileNotFoundError:
        return False


def _put(file: Path, store: ObjectStore, name: str) -> None:
    with file.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            store.put_new(name, [])
            return
        with (
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as all_of_it,
        ):
            store.put_new(name, [all_of_it])
