"""What schemathesis must be told: how instances travel in a STOW-RS body."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("multipart/related")  # type: ignore[untyped-decorator]
def related(_context: Any, value: Any) -> bytes:
    """One part with whatever was drawn; without a boundary in its header the body is refused as a whole."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
    return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n"
