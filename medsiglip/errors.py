"""The error tree of the package: one root, `ModelError`.

A `ModelError` says in one sentence what is wrong, with which file, tensor, text or image, and what to do.
Its `code` is stable and kebab-case, so that programs tell errors apart without reading the sentence.
"""

from __future__ import annotations


class ModelError(Exception):
    """A checkpoint, text or image that the model cannot use.

    `code` is a stable kebab-case word; `str(error)` is the full sentence for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ModelError], tuple[str, str]]:
        return type(self), (self.code, str(self))
