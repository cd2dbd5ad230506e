"""The part of `Client` that is about pages of cases, facets and collections."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from pathlib import Path

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.browsing import CaseList, ChangedCollection, Collection, CollectionList, FacetList
from medsiglip.arguments import several
from medsiglip.client.connection import AnyPath, ApiError, Connection, read
from medsiglip.client.paths import path_of


class BrowsingMethods:
    """Methods of `Client`."""

    _service: Connection

    def cases(
        self,
        *,
        where: Sequence[str] = (),
        sort: str = "-added_at",
        limit: int = 100,
        cursor: str | None = None,
    ) -> CaseList:
        """A page of at most `limit` cases of which an image passes all filters; `cursor` of an answer gives
        the next. `sort` is study_date, added_at, patient_age, images or study_instance_uid, with `-` before
        it for the other direction.
        """
        query = {"where": several("where", where), "sort": sort, "limit": index(limit), "cursor": cursor}
        return read(CaseList, self._service.get("/v1/cases", **query))

    def facets(self, *, where: Sequence[str] = ()) -> FacetList:
        """How many of the cases that fit have each modality, label, age, year and so on."""
        return read(FacetList, self._service.get("/v1/facets", where=several("where", where)))

    def export_cases(self, out: AnyPath, *, where: Sequence[str] = ()) -> Path:
        """Write all cases that fit to a file `out`, .csv or .parquet; its path."""
        file = Path(out).expanduser().absolute()
        kind = file.suffix.removeprefix(".").lower()
        if kind not in ("csv", "parquet"):
            raise ApiError("bad-suffix", f"The file {file.name} must end in .csv or .parquet: rename it.")
        query = {"where": several("where", where), "format": kind}
        file.write_bytes(self._service.get_bytes("/v1/cases/export", **query))
        return file

    def collections(self) -> list[Collection]:
        """The collections of cases, by name."""
        return list(read(CollectionList, self._service.get("/v1/collections")).collections)

    def change_collection(
        self,
        name: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        where: Sequence[str] | None = None,
    ) -> ChangedCollection:
        """Put studies into a collection, by UID and all that fit filters, and take studies out. A new name
        makes one; the filter `collection=NAME` then asks for its cases.
        """
        body = {
            "add": several("add", add),
            "remove": several("remove", remove),
            "where": None if where is None else several("where", where),
        }
        path = path_of("collections", ("name", "name", name))
        return read(ChangedCollection, self._service.put(path, body))

    def remove_collection(self, name: str) -> RemovedName:
        """Remove a collection; its cases stay."""
        return read(RemovedName, self._service.delete(path_of("collections", ("name", "name", name))))
