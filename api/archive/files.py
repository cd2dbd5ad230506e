"""Files and folders that a caller names: checked before slow work begins, and written atomically."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from medsiglip.api.errors import ServiceError

AnyPath = str | Path


def require_paths(paths: Sequence[AnyPath]) -> None:
    """Raise ServiceError `no-such-path` for the first of `paths` that is not there."""
    for path in paths:
        file = Path(path).expanduser().absolute()
        try:
            file.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise ServiceError(
                "no-such-path", f"there is no file or folder {file}: check the path."
            ) from None
        except OSError:
            continue  # what may not be looked at is for the reader to refuse, with its reason


def require_pictures(paths: Sequence[AnyPath]) -> None:
    """Raise ServiceError `no-such-path`, or `not-a-file` for a folder, for the first that is no file."""
    require_paths(paths)
    for path in paths:
        if Path(path).expanduser().is_dir():
            raise ServiceError(
                "not-a-file", f"{Path(path).expanduser().absolute()} is a folder: give one picture file."
            )


def output_folder(folder: AnyPath, mode: int = 0o777) -> Path:
    """The folder, absolute, made with this mode if needed, and its parents. Raises ServiceError
    `cannot-create`.
    """
    path = Path(folder).expanduser().absolute()
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
    except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
        obstacle = next((one for one in (path, *path.parents) if one.exists() and not one.is_dir()), None)
        reason = f"{obstacle} is a file" if obstacle else (error.strerror or type(error).__name__).lower()
        raise ServiceError(
            "cannot-create", f"the folder {path} cannot be made ({reason}): choose another place for it."
        ) from None
    return path


def output_file(file: AnyPath) -> Path:
    """The file, absolute, in a folder that is there. Raises ServiceError `cannot-create`, also for a file
    that an archive's home has already, or `not-a-file`.
    """
    from medsiglip.index.catalogue.identity import FILE as IDENTITY

    path = Path(file).expanduser().absolute()
    if path.is_dir():
        raise ServiceError("not-a-file", f"{path} is a folder: name the file to write.")
    if path.exists() and any((folder / IDENTITY).exists() for folder in path.resolve().parents):
        raise ServiceError("cannot-create", f"{path} is a file of an archive: choose another place for it.")
    output_folder(path.parent)
    return path


def allowed_path(path: str | Path, roots: Sequence[Path]) -> Path:
    """The real path of `path`, without symbolic links, if it lies under one of `roots`.

    It is checked when a request comes and again when its job runs, for links may have changed. What lies
    outside is refused in the same way whether it exists or not. Raises ServiceError `path-not-allowed`, and
    `no-such-path` for what is missing inside.
    """
    if not roots:
        raise ServiceError(
            "path-not-allowed",
            "this service reads no folders of its own machine: upload the files, or ask the administrator to "
            "list folders in MEDSIGLIP_INGEST_ROOTS.",
        )
    named = os.fspath(path)
    if "\0" in named or not os.path.isabs(named):
        raise ServiceError("path-not-allowed", "the path must be absolute: give it from / on.")
    real = Path(os.path.realpath(named))
    if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        raise ServiceError(
            "path-not-allowed", "the path is not under a folder that this service may read: name one that is."
        )
    if not real.exists():
        raise ServiceError("no-such-path", f"there is no file or folder {named}: check the path.")
    return real


@contextmanager
def parquet_writer(path: Path, schema: Any) -> Iterator[Any]:
    """Give a pyarrow ParquetWriter; the file appears at `path` when the block ends well, else nothing is
    left.
    """
    import pyarrow.parquet as pq

    with _whole_file(path) as file, pq.ParquetWriter(file, schema) as writer:
        yield writer


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, which appears whole or not at all. Raises ServiceError `cannot-create`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, which appears whole or not at all. Raises ServiceError `cannot-create`."""
    try:
        with _whole_file(path) as file:
            file.write(content)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ServiceError(
            "cannot-create", f"{path} cannot be written ({reason}): choose another place for it."
        ) from None


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
