"""Events of the audit trail as syslog messages (RFC 5424).

The facility is 13, log audit, the severity informational. All is in the structured data, under the number
that RFC 5612 keeps for examples, since this project has none of its own; the text repeats who did what. A
receiver should take 2,048 bytes (RFC 5424, section 6.1), so an event of many studies becomes several messages
that say so in `part`, and details of more than 500 bytes are cut, which `details-bytes` tells; no message has
more than 4,096. `hash` is that of
the whole event, by which it is found in the trail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.index.service.audit_log import ChainedEvent

PRIORITY = 13 * 8 + 6
STRUCTURE = "medsiglip@32473"
STUDIES_IN_ONE = 14
_DETAILS_BYTES = 500
_WORD_BYTES = 128
_NOT_PRINTABLE = re.compile(r"[^!-~]")
_NOT_IN_VALUE = re.compile(r'[\x00-\x1f\x7f"\\\]]')


def messages(one: ChainedEvent, host: str, process: str) -> Iterator[bytes]:
    """The messages of an event, each UTF-8 without a frame; `host` and `process` are where they were sent."""
    event = one.event
    studies = list(event.studies)
    parts = [studies[first : first + STUDIES_IN_ONE] for first in range(0, len(studies), STUDIES_IN_ONE)]
    details = json.dumps(dict(event.details), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    size = len(details.encode("utf-8", "replace"))
    header = " ".join(
        (
            f"<{PRIORITY}>1",
            event.at,
            _header(host, 255),
            "medsiglip",
            _header(process, 128),
            _header(event.action, 32),
        )
    )
    for number, part in enumerate(parts or [[]], 1):
        fields = {
            "sequence": str(one.sequence),
            "part": f"{number}/{len(parts)}" if len(parts) > 1 else None,
            "actor": _cut(event.actor, _WORD_BYTES),
            "action": event.action,
            "studies": " ".join(part) or None,
            "details": _cut(details, _DETAILS_BYTES),
            "details-bytes": str(size) if size > _DETAILS_BYTES else None,
            "request": event.request_id,
            "hash": one.hash,
        }
        named = (f'{name}="{_value(value)}"' for name, value in fields.items() if value is not None)
        text = f"{_value(_cut(event.actor, _WORD_BYTES))} {event.action}"
        # The mark that says that the text is UTF-8 (section 6.4).
        yield f"{header} [{STRUCTURE} {' '.join(named)}] \ufeff{text}".encode("utf-8", "replace")


def _header(text: str, longest: int) -> str:
    """A field of the header: printable ASCII without spaces (section 6)."""
    return _NOT_PRINTABLE.sub("?", text)[:longest] or "-"


def _value(text: str) -> str:
    """A value of the structured data: quotes, backslashes and brackets escaped (section 6.3.3)."""
    return _NOT_IN_VALUE.sub(lambda found: f"\\{found[0]}" if found[0] in '"\\]' else " ", text)


def _cut(text: str, most: int) -> str:
    """A text of at most so many bytes in UTF-8, of whole characters."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
