"""Which of the server's files a client may name: those under the folders of the setting `ingest_roots`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from medsiglip.api.errors import ServiceError


def allowed_path(path: str | Path, roots: Sequence[Path]) -> Path:
    """The real path of `path`, without symbolic links, if it lies under one of `roots`.

    It is asked when a request comes and again when its job runs, for links may have changed. The answer is
    the same for everything outside, there or not. Raises ServiceError `path-not-allowed`, and `no-such-path`
    for what is missing inside.
    """
    if not roots:
        raise ServiceError(
            "path-not-allowed",
            "this service reads no folders of its own machine: upload the files, or have its keeper name "
            "folders in MEDSIGLIP_INGEST_ROOTS.",
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
