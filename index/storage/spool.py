"""What a receiver has put into the home and has no job yet.

`incoming/<study>/<instance>.dcm` is the spool. A study that is on its way from there to a job lies in
`received/<name>/`, and a file `<name>.handed` beside it says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from medsiglip.index.storage.deletion import UPLOADS

SPOOL = "incoming"
HANDED = ".handed"


def spooled(home: Path) -> Iterator[str]:
    """The files of received studies without a job, relative to the home, those that say so included."""
    with suppress(FileNotFoundError):
        for file in sorted((home / SPOOL).glob("[!.]*/*.dcm")):
            yield str(file.relative_to(home))
    with suppress(FileNotFoundError):
        for marker in sorted((home / UPLOADS).glob(f"*{HANDED}")):
            for file in (*sorted(marker.with_suffix("").glob("*.dcm")), marker):
                yield str(file.relative_to(home))
