"""Files and folders that a caller names: looked at before anything slow begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
    """The file, absolute, in a folder that is there. Raises ServiceError `cannot-create` or `not-a-file`."""
    path = Path(file).expanduser().absolute()
    if path.is_dir():
        raise ServiceError("not-a-file", f"{path} is a folder: name the file to write.")
    output_folder(path.parent)
    return path
