"""Checks of the inputs of an encoder, free of torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ItemError, ModelError
from medsiglip.tokenizer import Tokenizer


def check_images(images: Sequence[object] | npt.NDArray[np.uint8], size: int) -> None:
    """Raise `ItemError` `bad-image` unless each image is a model input, uint8 `[size, size, 3]`."""
    shape = (size, size, 3)
    for i, image in enumerate(images):
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != shape:
            found = (
                f"{image.dtype} {list(image.shape)}"
                if isinstance(image, np.ndarray)
                else type(image).__name__
            )
            raise ItemError(
                "bad-image",
                f"Image {{item}} is {found}, not uint8 {list(shape)}; convert it with to_model_input first.",
                i,
            )


def check_texts(texts: Sequence[str]) -> None:
    """Raise `ModelError` `bad-text` unless these are texts."""
    if isinstance(texts, str):
        raise ModelError("bad-text", "Texts must be given as a sequence of strings, not as one string.")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ItemError("bad-text", f"Text {{item}} is {type(text).__name__}, not a string.", i)


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Token ids `[n, context_length]` of texts with at least one word each.

    Raises `ModelError` `bad-text` as `check_texts` does, `ItemError` `empty-text` for a text without a word.
    """
    check_texts(texts)
    ids = tokenizer(texts)
    empty = np.flatnonzero((ids == tokenizer.pad_id).all(axis=1))
    if empty.size:
        raise ItemError("empty-text", "Text {item} holds no word; give at least one word.", int(empty[0]))
    return ids
