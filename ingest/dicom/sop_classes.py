"""SOP classes that are treated in a way of their own (PS3.4 B.5)."""

from __future__ import annotations

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
WHOLE_SLIDE_MICROSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.6"


def is_secondary_capture(sop_class_uid: str) -> bool:
    """Whether a class is Secondary Capture Image Storage or one of its multi-frame classes."""
    return sop_class_uid == SECONDARY_CAPTURE or sop_class_uid.startswith(SECONDARY_CAPTURE + ".")
