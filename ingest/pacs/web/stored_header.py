"""What the header of a file says, without a word of it in a log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medsiglip.ingest.header.elements import read_elements
from medsiglip.ingest.header.fast_header import fast_elements
from medsiglip.ingest.header.header_values import CUT
from medsiglip.ingest.privacy.quiet import quiet


def elements_of(file: Path) -> Mapping[str, str | int] | None:
    """The elements of a header that are wanted, by keyword, None where it cannot be read as one. Raises
    OSError.
    """
    try:
        with file.open("rb", buffering=0) as stream:
            found = fast_elements(stream)
        if found is None or found.ending == CUT:
            with quiet():  # pydicom warns of values that are wrong, and quotes them
                found = read_elements(str(file))
    except OSError:
        raise
    except Exception:  # HeaderRefusedError, and whatever pydicom raises for a header that it cannot parse
        return None
    return found.values
