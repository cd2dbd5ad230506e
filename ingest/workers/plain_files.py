"""Files that are drawn in the calling process: there a worker would only cost its start."""

from __future__ import annotations

from collections.abc import Sequence

from medsiglip.ingest.units.plan import Unit

# Starting a worker takes about half a second: fewer files than this are drawn in this process, if that is
# safe.
FEW_FILES = 12
FEW_BYTES = 64 << 20
# Implicit and explicit little endian, explicit big endian: they need no decoder (PS3.5 A.1, A.2).
UNCOMPRESSED = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})


def is_small_and_safe(units: Sequence[Unit]) -> bool:
    """Few and small files, and none whose decoder is C code that a broken file could crash this process with
    or keep busy for ever.
    """
    headers = [header for unit in units for header in unit.headers]
    return (
        len(headers) <= FEW_FILES
        and sum(header.size for header in headers) <= FEW_BYTES
        and all(header.transfer_syntax_uid in UNCOMPRESSED for header in headers)
    )
