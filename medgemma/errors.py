"""The one error of `medgemma`: a stable kebab-case code and a whole sentence with the cure."""

from __future__ import annotations


class DraftError(Exception):
    """A draft, generator or routing rule that cannot be used as requested. `str()` is a whole sentence.

    `may_pass`: the same request may succeed later, as when a server is busy or down.
    """

    def __init__(self, code: str, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.may_pass = may_pass
