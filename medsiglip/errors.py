"""The error tree of the package: one root, `ModelError`, and `ItemError` for one item of a batch.

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


class ItemError(ModelError):
    """One image or text of several that the model cannot encode; `item` is its place among them.

    `message` has `{item}` where the place belongs.
    """

    def __init__(self, code: str, message: str, item: int) -> None:
        super().__init__(code, message.replace("{item}", str(item)))
        self.message = message
        self.item = item

    def at(self, item: int) -> ItemError:
        """The same error of the same item, where its place is another: batches are made of many requests."""
        return type(self)(self.code, self.message, item)

    def __reduce__(self) -> tuple[type[ItemError], tuple[str, str, int]]:  # type: ignore[override]
        return type(self), (self.code, self.message, self.item)
