"""How many new files hold pictures that are kept but not shown, as they may name the patient, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from medsiglip.answers.cases import Withheld
from medsiglip.ingest.header.burned_in import LIKELY, YES

_REASONS = {
    YES: "the header states that text is burned in, or the picture is the label of a slide",
    LIKELY: "pictures of this kind, such as ultrasound and captured screens, often carry names or faces",
}


def withheld(burned_in: Iterable[str]) -> tuple[Withheld, ...]:
    """The counts, given what each new file's header says (`medsiglip.ingest.header.burned_in.burned_in`)."""
    counts = Counter(burned_in)
    return tuple(
        Withheld(burned_in=value, files=counts[value], reason=reason)
        for value, reason in _REASONS.items()
        if counts[value]
    )
