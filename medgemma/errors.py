"""The error of `medgemma`: a stable kebab-case code and a whole sentence with the cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.medgemma.records import Concern


class DraftError(Exception):
    """A draft, generator or routing rule that cannot be used as requested. `str()` is a whole sentence.

    `may_pass`: the same request may succeed later, as when a server is busy or down.
    """

    def __init__(self, code: str, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.may_pass = may_pass


class ConcernsError(DraftError):
    """A draft that is not accepted because of its `concerns`, which the message lists with their ids."""

    def __init__(self, draft_id: str, concerns: Sequence[Concern]) -> None:
        listed = " ".join(f"{number}. [{one.id}] {one.sentence}" for number, one in enumerate(concerns, 1))
        super().__init__(
            "draft-concerns",
            f"Acknowledge each concern of draft {draft_id} by its id, or edit the text: {listed}",
        )
        self.concerns = tuple(concerns)
