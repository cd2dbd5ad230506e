"""What became of each file of a run, of which there may be millions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from functools import cached_property

from medsiglip.index.scratch import Scratch
from medsiglip.ingest.run.path_list import as_bytes, as_path


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file: `outcome` is embedded, unchanged, skipped or quarantined; `images` were added by this run,
    `burned_in` is whether they may name the patient.
    """

    path: str
    outcome: str
    code: str = ""
    reason: str = ""
    modality: str = ""
    rendering: str = ""
    images: int = 0
    burned_in: str = ""


_COLUMNS = [field.name for field in fields(FileLine)]
_PUT = f"INSERT OR REPLACE INTO lines VALUES ({', '.join('?' * len(_COLUMNS))})"


class FileLines(Mapping[str, FileLine]):
    """Lines by path, in the order of paths, in about ten MB of memory, however many there are.

    The rest lies in a temporary file without a name; with `in_memory` it does not, as in a home that keeps no
    paths. Raises `CatalogError` `disk-full`.
    """

    def __init__(self) -> None:
        self.in_memory = False

    @cached_property
    def _scratch(self) -> Scratch:
        columns = ", ".join(["path BLOB PRIMARY KEY", *_COLUMNS[1:]])
        return Scratch(f"CREATE TABLE lines ({columns}) WITHOUT ROWID", in_memory=self.in_memory)

    def put(self, lines: Iterable[FileLine]) -> None:
        """Set the lines of files, each in place of an earlier one."""
        self._scratch.put(_PUT, ((as_bytes(one.path), *astuple(one)[1:]) for one in lines))

    def __getitem__(self, path: str) -> FileLine:
        for row in self._scratch.ask("SELECT * FROM lines WHERE path = ?", (as_bytes(path),)):
            return _line(row)
        raise KeyError(path)

    def __len__(self) -> int:
        return next(int(row[0]) for row in self._scratch.ask("SELECT count(*) FROM lines"))

    def __iter__(self) -> Iterator[str]:
        return (line.path for line in self.in_order())

    def in_order(self) -> Iterator[FileLine]:
        """The lines, as they are taken."""
        return (_line(row) for row in self._scratch.ask("SELECT * FROM lines ORDER BY path"))


def _line(row: tuple[object, ...]) -> FileLine:
    path, *others = row
    assert isinstance(path, bytes)
    return FileLine(as_path(path), *others)  # type: ignore[arg-type]
