"""A multipart body, parsed piece by piece into files and form fields."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from medsiglip.api.errors import ServiceError
from medsiglip.index.vectors import sync_path

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

_MAX_FIELD_BYTES = 1 << 20
_MAX_FIELDS = 1000
_LONGEST_NAME = 100


@dataclass(slots=True)
class Received:
    """An upload: `files` in order, below `folder`, `others` the files of fields other than `file` by field,
    and `fields` with all values of each form field. `has_ended`: the body is complete.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    others: dict[str, Path] = field(default_factory=dict)
    fields: dict[str, list[str]] = field(default_factory=dict)
    size: int = 0
    is_kept: bool = False
    has_ended: bool = False

    def keep(self) -> None:
        """Leave the folder to a job that removes it later; it is on the disk before the job is submitted."""
        for path in [*self.files, *self.others.values(), self.folder, self.folder.parent]:
            if path.exists():
                sync_path(path)
        self.is_kept = True


class Parts:
    """Writes the files of the fields `names` to the folder of `received`, and collects its form fields.

    With `names` None every part is a file.
    """

    def __init__(
        self, received: Received, boundary: bytes, names: tuple[str, ...] | None, settings: Settings
    ) -> None:
        self._received = received
        self._names = names
        self._max_files = settings.max_upload_files
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._complete,
            },
        )
        self._is_complete = False
        self._parts = 0
        self._file: IO[bytes] | None = None
        self._field: tuple[str, bytearray] | None = None
        self._field_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""

    def write(self, piece: bytes) -> None:
        """Parse the next bytes of the body."""
        try:
            self._parser.write(piece)
        except MultipartParseError as error:
            raise ServiceError("bad-multipart", f"the body cannot be read: {error}.") from None

    def finish(self) -> None:
        """End the body; raises ServiceError `upload-incomplete` if its last boundary is missing."""
        if not self._is_complete:
            raise ServiceError(
                "upload-incomplete", "the body ended before its last boundary: send it again whole."
            )

    def close(self) -> None:
        """Close the file that is being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._headers = {}
        self._name = self._value = b""
        self._parts += 1
        if self._parts > self._max_files + _MAX_FIELDS:
            raise self._too_many()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _open(self) -> None:
        if self._names is None:
            kind = self._headers.get(b"content-type", b"application/dicom").partition(b";")[0]
            if kind.strip().lower() != b"application/dicom":
                raise ServiceError(
                    "wrong-content-type",
                    "a part has another type than application/dicom: send instances alone.",
                )
            self._open_file(None, f"{len(self._received.files):06d}.dcm")
            return
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if not field:
            raise ServiceError(
                "bad-multipart", "a part has no name: give each a Content-Disposition with one."
            )
        if b"filename" not in options:
            if field in self._names:
                raise ServiceError("bad-multipart", f"the field {field} must be a file with a file name.")
            self._field = field, bytearray()
            return
        if field not in self._names:
            raise ServiceError(
                "unknown-field", f"no file may come in this field: name it {' or '.join(self._names)}."
            )
        self._open_file(field, safe_name(options[b"filename"].decode("utf-8", "replace")))

    def _open_file(self, field: str | None, name: str) -> None:
        received = self._received
        if len(received.files) >= self._max_files:
            raise self._too_many()
        path = received.folder / name
        if path.exists():  # a second file of that name; `safe_name` leaves no colon in a name
            path = received.folder / f"{len(received.files)}:" / name
            path.parent.mkdir(0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = open(descriptor, "wb")  # noqa: SIM115  (closed at the part's end)
        if field in (None, "file"):
            received.files.append(path)
        elif field is not None:
            if field in received.others:
                raise ServiceError("bad-multipart", f"there may be one file {field}.")
            received.others[field] = path

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])
        elif self._field is not None:
            self._field_bytes += end - start
            if self._field_bytes > _MAX_FIELD_BYTES:
                raise ServiceError("bad-multipart", "the form fields are too large: send less in them.")
            self._field[1].extend(data[start:end])

    def _end(self) -> None:
        self.close()
        if self._field is None:
            return
        name, value = self._field
        self._field = None
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            raise ServiceError("bad-multipart", f"the field {safe_name(name)} is not UTF-8.") from None
        self._received.fields.setdefault(name, []).append(text)

    def _complete(self) -> None:
        self._is_complete = True

    def _too_many(self) -> ServiceError:
        return ServiceError(
            "too-many-files", f"an upload may hold {self._max_files} files: send them as a zip, or in turns."
        )


def safe_name(name: str) -> str:
    """The last part of a client's file name without separators, control characters and leading dots,
    shortened to 100 characters with its suffix kept.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(one if one.isprintable() and one not in ':!"' else "_" for one in last)
    stripped = printable.strip(" .") or "file"
    path = Path(stripped)
    suffix = path.suffix[:20]
    name = path.name[: len(path.name) - len(path.suffix)][: _LONGEST_NAME - len(suffix)] + suffix
    while len(name.encode()) > 200:
        name = name[: max(1, len(name) - len(suffix) - 10)] + suffix
    return name
