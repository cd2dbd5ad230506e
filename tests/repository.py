"""Where the repository is, and which of its files are of the packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "api" / "web"
"""Sources of the screen, npm's packages, and `built`, which alone belongs to the Python package."""


def packaged(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """The files below a folder of the packages that fit a pattern, without what builds the screen."""
    return (
        path
        for path in folder.rglob(pattern)
        if not path.is_relative_to(WEB) or path.is_relative_to(WEB / "built")
    )
