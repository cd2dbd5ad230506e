"""How paths of files are stored: as they are, or, in a home that keeps none, as keyed hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import FileRecord, SeriesBundle

HIDDEN = "strict:"
"""A stored path that begins so is a hash; no absolute path does."""


def shown_path(path: str) -> str:
    r"""A path with `\xNN` for each byte that is not UTF-8 (a surrogate, PEP 383), as Parquet and the results
    of jobs hold it.
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class StoredPaths:
    """Translates paths between callers and the catalogue.

    Once `hide` was called, a path is stored as its keyed hash. The paths that callers mention are remembered,
    so that answers can name them again; of other files only the hash is known.
    """

    def __init__(self) -> None:
        self._code: Callable[[str], str] | None = None
        self._mentioned: dict[str, str] = {}

    def hide(self, code: Callable[[str], str]) -> None:
        """Store `code(path)`, a keyed hash, in place of each path from now on."""
        self._code = code

    def stored(self, path: str) -> str:
        """What stands for a path in the catalogue."""
        if self._code is None:
            return path
        hidden = HIDDEN + self._code(path)
        self._mentioned[hidden] = path
        return hidden

    def given(self, stored: str) -> str:
        """The path that a caller mentioned, for its stored form; else the stored form itself."""
        return self._mentioned.get(stored, stored)

    def by_path(self, records: Iterable[FileRecord]) -> Mapping[str, FileRecord]:
        """Stored records, to be looked up by path."""
        found = {record.path: record for record in records}
        return found if self._code is None else _HiddenRecords(found, self)

    def records(self, records: Iterable[FileRecord]) -> list[FileRecord]:
        """Records in their stored form. Where paths are hidden, the content hash is dropped too: it may have
        been computed from paths.
        """
        if self._code is None:
            return list(records)
        return [replace(one, path=self.stored(one.path), content_hash=None) for one in records]

    def bundle(self, bundle: SeriesBundle) -> SeriesBundle:
        """A bundle in its stored form."""
        return replace(bundle, files=tuple(self.records(bundle.files)))

    def label(self, record: LabelRecord) -> LabelRecord:
        """A label record with its key in the stored form."""
        return replace(record, key=self.stored(record.key)) if record.key_kind == "path" else record


class _HiddenRecords(Mapping[str, FileRecord]):
    def __init__(self, records: Mapping[str, FileRecord], paths: StoredPaths) -> None:
        self._records = records
        self._paths = paths

    def __getitem__(self, path: str) -> FileRecord:
        hidden = path if path.startswith(HIDDEN) else self._paths.stored(path)
        return replace(self._records[hidden], path=path)

    def __iter__(self) -> Iterator[str]:
        return map(self._paths.given, self._records)

    def __len__(self) -> int:
        return len(self._records)
