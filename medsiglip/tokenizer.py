"""Text to token ids, with the checkpoint's own SentencePiece model.

The ids equal those of transformers' `SiglipTokenizer` with `padding="max_length", truncation=True`, except
for one rule of SigLIP's training code: `_` becomes a space, where transformers deletes it and joins two
words.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WORD_START = "\u2581"


def canonicalise(text: str) -> str:
    """Lower case, `_` and runs of white space to one space, ASCII punctuation removed."""
    bare = text.replace("_", " ").lower().translate(_PUNCTUATION)
    return re.sub(r"\s+", " ", bare).strip()


class Tokenizer:
    """SigLIP's tokenizer: every text becomes exactly `context_length` ids, filled up with the id of `</s>`.

    The fixed length is part of the model, which pools the last position without a mask.
    """

    def __init__(self, spiece_path: Path, context_length: int) -> None:
        """Load a SentencePiece model. Raises `ModelError` `bad-tokenizer`."""
        from sentencepiece import SentencePieceProcessor

        self.context_length = context_length
        self._pieces: Any = SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(spiece_path.read_bytes())
        except (OSError, RuntimeError) as error:
            raise ModelError(
                "bad-tokenizer", f"{spiece_path} is not a readable SentencePiece model; fetch it again."
            ) from error
        self.vocabulary_size: int = self._pieces.GetPieceSize()
        self.pad_id: int = self._pieces.PieceToId("</s>")
        if self.pad_id == self._pieces.unk_id():
            raise ModelError("bad-tokenizer", f"{spiece_path} has no end-of-text piece </s>.")
        self._special = {"</s>": self.pad_id, "<unk>": int(self._pieces.unk_id())}
        self._prefix = len(self._pieces.EncodeAsIds("<unk>"))

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Token ids `[n, context_length]`; a text without a single piece is all padding."""
        ids = np.full((len(texts), self.context_length), self.pad_id, np.int64)
        for row, text in zip(ids, texts, strict=True):
            pieces = self._encode(text)[: self.context_length - 1]
            row[: len(pieces)] = pieces
        return ids

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, without `</s>`; what is beyond `context_length - 1` is not in
        its ids.
        """
        return [len(self._encode(text)) for text in texts]

    def piece_counts(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Of each text the characters that are read, without spaces, its pieces, and those of its pieces that
        stand for one byte or for nothing known, int64 [n, 3].
        """
        counts = np.zeros((len(texts), 3), np.int64)
        for row, text in zip(counts, texts, strict=True):
            ids = self._encode(text)
            single = sum(self._pieces.IsByte(one) or self._pieces.IsUnknown(one) for one in ids)
            row[:] = len(canonicalise(text).replace(" ", "")), len(ids), single
        return counts

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, of which each is below `vocabulary_size`; what fills up the end is left out.

        Its ids are the same again, if they were those of a text.
        """
        parts: list[str] = []
        plain: list[int] = []
        names = {number: name for name, number in self._special.items()}
        end = len(ids)
        while end and ids[end - 1] == self.pad_id:
            end -= 1
        for one in ids[:end]:
            if one not in names:
                plain.append(int(one))
                continue
            parts += [self._pieces.DecodeIds(plain), names[one]]
            plain = []
        return "".join([*parts, self._pieces.DecodeIds(plain)])

    def _encode(self, text: str) -> list[int]:
        # A lone surrogate has no UTF-8 form and would end in an exception inside SentencePiece.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        chunks = re.split("(</s>|<unk>)", _WORD_START + text.replace(_WORD_START, " "))
        ids: list[int] = []
        for i, chunk in enumerate(chunks):
            if i % 2:
                ids.append(self._special[chunk])
                continue
            # SentencePiece adds a word start in front of the text; the known prefix absorbs it.
            ids += self._pieces.EncodeAsIds("<unk>" + canonicalise(chunk))[self._prefix :]
        return ids
