"""Objects in a bucket that speaks S3.

boto3 is the client: pyarrow's file system can neither write on the condition that there is nothing yet, nor
see versions. An object is put whole from a local file, which then is this machine's copy.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from blake3 import blake3

from medsiglip.index.checksums import ALGORITHM, checksum_of
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.folder_store import exists
from medsiglip.index.objects.local_cache import LocalCache
from medsiglip.index.objects.object_store import COPIED, FOLDERS, DamagedObjectError
from medsiglip.index.objects.s3_errors import code_of, translated

_PIECE = 1 << 20
_AT_ONCE = 8
_WILDCARDS = "*?["
# The entry of an object's metadata that holds its checksum.
_CHECKSUM = "checksum"
# Of a store that cannot do something at all (S3's error codes).
_UNABLE = {"NotImplemented", "MethodNotAllowed", "501", "405"}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


class S3Store:
    """An `ObjectStore` below a prefix of a bucket, with a cache in the home. `connect` makes the client, when
    it is first needed.
    """

    is_remote = True

    def __init__(self, bucket: str, prefix: str, cache: LocalCache, connect: Callable[[], Any]) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._cache = cache
        self._connect = connect

    @cached_property
    def _client(self) -> Any:
        with translated(self.url):
            return self._connect()

    def _of(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def put_new(self, name: str, parts: Sequence[memoryview]) -> str:
        """Store an object. Others than those of `COPIED` are small, and never reach a disk here."""
        if name.partition("/")[0] not in COPIED:
            content = b"".join(parts)
            checksum = checksum_of([memoryview(content)])
            self._put(name, lambda: io.BytesIO(content), checksum)
            return checksum
        with self._disk_named(), self._cache.taking_in(name) as (file, keep):
            digest = blake3()
            with file.open("wb") as stream:
                for part in parts:
                    digest.update(part)
                    stream.write(part)
            checksum = f"{ALGORITHM}:{digest.hexdigest()}"
            self._put(name, lambda: file.open("rb"), checksum)
            keep()
        return checksum

    def _put(self, name: str, opened: Callable[[], BinaryIO], checksum: str) -> None:
        from botocore.exceptions import ClientError

        given = {**self._of(name), "Metadata": {_CHECKSUM: checksum}}
        with translated(self.url, name):
            try:
                with opened() as body:
                    self._client.put_object(Body=body, IfNoneMatch="*", **given)
                return
            except ClientError as error:
                code = code_of(error)
                if code not in {"PreconditionFailed", "ConditionalRequestConflict", "412", "409", *_UNABLE}:
                    raise
            # The first of two tries may have been the one that succeeded, and only its answer was lost.
            with suppress(FileNotFoundError):
                if self._noted(name) == checksum:
                    return
                raise exists(self.place(name))
            with opened() as body:
                self._client.put_object(Body=body, **given)

    def _noted(self, name: str) -> str | None:
        """The checksum that was stored with an object."""
        with translated(self.url, name):
            found: str | None = self._client.head_object(**self._of(name))["Metadata"].get(_CHECKSUM)
            return found

    def open_local(self, name: str) -> Path:
        """The copy in the cache, fetched if it is not there."""
        found = self._cache.find(name)
        if found is not None:
            return found
        with self._disk_named(), self._cache.taking_in(name) as (file, keep):
            with file.open("wb") as stream:
                self.fetch(name, stream.write)
            return keep()

    def read(self, name: str) -> bytes:
        """The content, which is not cached."""
        pieces: list[bytes] = []
        self._fetched(name, pieces.append)
        return b"".join(pieces)

    def fetch(self, name: str, take: Callable[[bytes], object]) -> None:
        """Read what the bucket holds, and compare it with the checksum that was stored with it."""
        held, noted = self._fetched(name, take)
        if noted not in (None, held):
            raise DamagedObjectError(errno.EIO, "it is not what was put there")

    def checksum(self, name: str) -> str:
        """The checksum of what the bucket holds, not of the copy."""
        return self._fetched(name, len)[0]

    def _fetched(self, name: str, take: Callable[[bytes], object]) -> tuple[str, str | None]:
        """Read an object piece by piece; returns its checksum, and the one that was stored with it."""
        digest = blake3()
        with translated(self.url, name):
            answer = self._client.get_object(**self._of(name))
            for piece in answer["Body"].iter_chunks(_PIECE):
                digest.update(piece)
                take(piece)
        return f"{ALGORITHM}:{digest.hexdigest()}", answer["Metadata"].get(_CHECKSUM)

    def matching(self, pattern: str) -> list[str]:
        """The names that fit a glob; of each of its parts, only what begins like it is listed."""
        *folders, last = pattern.split("/")
        places = [""]
        for depth, part in enumerate(folders):
            if not _is_glob(part):
                places = [f"{place}{part}/" for place in places]
            elif depth == 0:
                fitting = (one for one in FOLDERS if fnmatchcase(one, part))
                places = [f"{one}/" for one in fitting if FOLDERS[one] == len(folders) + 1]
            else:
                places = [one for place in places for one in self._folders(place, part)]
        found = []
        for place in places:
            for key in self._listed(place + _beginning(last)):
                name = key.removeprefix(place)
                if "/" not in name and fnmatchcase(name, last):
                    found.append(key)
        return sorted(found)

    def _folders(self, place: str, part: str) -> Iterator[str]:
        for page in self._pages("list_objects_v2", place + _beginning(part), Delimiter="/"):
            for one in page.get("CommonPrefixes", ()):
                found = str(one["Prefix"]).removeprefix(self._prefix)
                if fnmatchcase(found.removeprefix(place).rstrip("/"), part):
                    yield found

    def _listed(self, beginning: str) -> Iterator[str]:
        for page in self._pages("list_objects_v2", beginning):
            for one in page.get("Contents", ()):
                yield str(one["Key"]).removeprefix(self._prefix)

    def _pages(self, operation: str, beginning: str, **given: str) -> Iterator[dict[str, Any]]:
        with translated(self.url):
            pages = self._client.get_paginator(operation)
            yield from pages.paginate(Bucket=self._bucket, Prefix=self._prefix + beginning, **given)

    def delete(self, names: Collection[str]) -> list[str]:
        """Delete objects, all their versions and their copies here."""
        self._cache.drop(names)
        if not names:
            return []
        _ = self._client  # made by one thread
        with ThreadPoolExecutor(min(_AT_ONCE, len(names))) as pool:
            gone = list(pool.map(self._delete, names))
        return [name for name, is_gone in zip(names, gone, strict=True) if not is_gone]

    def sweep(self, patterns: Sequence[str]) -> list[str]:
        """Delete what fits globs, also versions of what is not there any more."""
        if not patterns:
            return []
        self._cache.drop([one for one in patterns if not _is_glob(one)])
        with suppress(CatalogError):
            _ = self._client  # made by one thread
        with ThreadPoolExecutor(min(_AT_ONCE, len(patterns))) as pool:
            gone = list(pool.map(self._erase, patterns))
        return [one for one, is_gone in zip(patterns, gone, strict=True) if not is_gone]

    def _erase(self, pattern: str) -> bool:
        """Delete what fits a glob; whether nothing of it can remain."""
        try:
            if not _is_glob(pattern):
                return self._delete(pattern)
            place, _, last = pattern.rpartition("/")
            names = self.matching(pattern) if _is_glob(place) else self._ever(f"{place}/", last)
            return False not in [self._delete(name) for name in names]
        except CatalogError:
            return False

    def _ever(self, place: str, last: str) -> list[str]:
        """The names in a folder that fit a glob, with those of which there are only earlier versions. Raises
        `CatalogError` where these may not be seen, once what is there was deleted.
        """
        try:
            found = self._versions(place + _beginning(last))
        except CatalogError:
            for name in self.matching(place + last):
                self._delete(name)
            raise
        names = {name.removeprefix(place) for name, _ in found}
        return sorted(place + name for name in names if "/" not in name and fnmatchcase(name, last))

    def _delete(self, name: str) -> bool:
        """Delete an object; whether no version of it remains. What cannot be seen counts as remaining."""
        try:
            versions = [version for key, version in self._versions(name) if key == name]
        except CatalogError:
            self._hide(name)
            return False
        for low in range(0, len(versions), 1000):
            chosen = [{"Key": self._prefix + name, "VersionId": one} for one in versions[low : low + 1000]]
            with translated(self.url, name):
                given = {"Objects": chosen, "Quiet": True}
                answer = self._client.delete_objects(Bucket=self._bucket, Delete=given)
            if answer.get("Errors"):
                self._hide(name)
                return False
        return True

    def _hide(self, name: str) -> None:
        """Delete an object without its versions: at least nobody reads it any more."""
        with translated(self.url, name), suppress(FileNotFoundError):
            self._client.delete_object(**self._of(name))

    def _versions(self, beginning: str) -> list[tuple[str, str]]:
        """Name and version of all versions, and of the marks of deletion, whose names begin so. A bucket
        without versions has one of each object, `null`; so have stores that know none.

        Raises `CatalogError` `object-store-refused` where this user may not see them.
        """
        from botocore.exceptions import ClientError

        try:
            return [
                (str(one["Key"]).removeprefix(self._prefix), str(one["VersionId"]))
                for page in self._pages("list_object_versions", beginning)
                for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            ]
        except CatalogError as error:
            cause = error.__context__
            if not (isinstance(cause, ClientError) and code_of(cause) in _UNABLE):
                raise
            return [(name, "null") for name in self._listed(beginning)]

    def rename(self, name: str, new: str) -> list[str]:
        """Copy an object within the bucket, and delete it."""
        with suppress(FileNotFoundError):
            with translated(self.url, name):
                self._client.copy_object(CopySource=self._of(name), **self._of(new))
            return self.delete([name])
        return []

    def copy_path(self, name: str) -> Path:
        """The path of the copy in the cache."""
        return self._cache.path(name)

    def place(self, name: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{name}"

    def drop_copies(self, names: Collection[str]) -> None:
        """Remove copies, which are fetched again when needed."""
        self._cache.drop(names)

    def forget_copies(self, named: Collection[str]) -> None:
        """Remove copies of objects that nothing names any more."""
        self._cache.keep_only(named)

    @contextmanager
    def _disk_named(self) -> Iterator[None]:
        """Errors of this machine's disk, which are not those of the object."""
        try:
            yield
        except OSError as error:
            place = self._cache.path("")
            if error.errno in _FULL:
                raise CatalogError(
                    "disk-full",
                    f"The disk that holds {place} is full: free some space, or let it keep less "
                    "(MEDSIGLIP_OBJECT_CACHE_BYTES), and run this again.",
                ) from error
            if error.errno in _FORBIDDEN:
                raise CatalogError(
                    "read-only-home",
                    f"{place} cannot be written, where copies of objects go; give this user the right to.",
                ) from error
            raise


def _is_glob(part: str) -> bool:
    return any(sign in part for sign in _WILDCARDS)


def _beginning(part: str) -> str:
    """What comes before the first wildcard."""
    return part[: min((part.index(sign) for sign in _WILDCARDS if sign in part), default=len(part))]
