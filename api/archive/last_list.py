"""The studies of the list that a person saw last on a terminal, so that a row stands for its study.

A file of the home for each user of the system, which only that user can read; it goes when a study is
forgotten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_NAME = "last-list"


def remember_list(home: Path, study_instance_uids: Sequence[str]) -> None:
    """Keep what a list showed, row by row; a home that cannot be written keeps none."""
    path = _file(home)
    partial = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    with suppress(OSError):
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(list(study_instance_uids), file)
        os.replace(partial, path)


def last_list(home: Path) -> list[str]:
    """The studies of the last list, row by row; empty where there is none."""
    try:
        rows = json.loads(_file(home).read_bytes())
    except (OSError, ValueError):
        return []
    return [str(row) for row in rows] if isinstance(rows, list) else []


def forget_lists(home: Path) -> None:
    """Remove the lists of all users."""
    for path in home.glob(f"{_NAME}.*"):
        with suppress(OSError):
            path.unlink()


def _file(home: Path) -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    return home / f"{_NAME}.{user}.json"
