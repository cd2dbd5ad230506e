"""How paths of files are stored: as they are, or, in a home that keeps none, as keyed hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from medsiglip.index.records import FileRecord, LabelRecord, SeriesBundle

# No absolute path begins so.
HIDDEN = "strict:"


class Paths:
    """Paths are stored as they are."""

    def stored(self, path: str) -> str:
        """What stands for a path in the catalogue."""
        return path

    def given(self, stored: str) -> str:
        """The path that was asked about, for what stands for it."""
        return stored

    def known(self, records: Iterable[FileRecord]) -> Mapping[str, FileRecord]:
        """Records as they are stored, by path."""
        return {record.path: record for record in records}

    def records(self, records: Iterable[FileRecord]) -> list[FileRecord]:
        """Records as they are to be stored."""
        return [replace(record, path=self.stored(record.path)) for record in records]

    def bundle(self, bundle: SeriesBundle) -> SeriesBundle:
        """A bundle as it is to be stored."""
        return bundle

    def label(self, record: LabelRecord) -> LabelRecord:
        """A label record as its key is stored."""
        return record


class HiddenPaths(Paths):
    """Paths are stored as `code(path)`; those asked about are remembered, so that answers can name them."""

    def __init__(self, code: Callable[[str], str]) -> None:
        self._code = code
        self._asked: dict[str, str] = {}

    def stored(self, path: str) -> str:
        """What stands for a path in the catalogue."""
        hidden = HIDDEN + self._code(path)
        self._asked[hidden] = path
        return hidden

    def given(self, stored: str) -> str:
        """The path that was asked about, for what stands for it, else that itself."""
        return self._asked.get(stored, stored)

    def known(self, records: Iterable[FileRecord]) -> Mapping[str, FileRecord]:
        """Records to be looked up by path."""
        return _Known({record.path: record for record in records}, self)

    def records(self, records: Iterable[FileRecord]) -> list[FileRecord]:
        """Records as they are to be stored; a content hash may be one of paths."""
        return [replace(record, content_hash=None) for record in super().records(records)]

    def bundle(self, bundle: SeriesBundle) -> SeriesBundle:
        """A bundle as it is to be stored."""
        return replace(bundle, files=tuple(self.records(bundle.files)))

    def label(self, record: LabelRecord) -> LabelRecord:
        """A label record as its key is stored."""
        return replace(record, key=self.stored(record.key)) if record.key_kind == "path" else record


class _Known(Mapping[str, FileRecord]):
    def __init__(self, records: Mapping[str, FileRecord], paths: HiddenPaths) -> None:
        self._records = records
        self._paths = paths

    def __getitem__(self, path: str) -> FileRecord:
        hidden = path if path.startswith(HIDDEN) else self._paths.stored(path)
        return replace(self._records[hidden], path=path)

    def __iter__(self) -> Iterator[str]:
        return map(self._paths.given, self._records)

    def __len__(self) -> int:
        return len(self._records)
