"""The text vectors of prompt sets as matrices, kept for the whole process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import Floats, Integers, unit_vectors
from medsiglip.zero_shot.prompt_set import PromptSet

EncodeTexts = Callable[[Sequence[str]], npt.NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class ClassMatrix:
    """Unit-length mean vectors of G different groups of texts, [G, d] float64, and as `columns` [d, G] in
    float32. `present` [L] is the group of each label and, unless labels compete with each other, `absent` [L]
    that of its absence: labels with the same texts share a group, and get the very same cosines.
    """

    vectors: Floats
    columns: npt.NDArray[np.float32]
    present: Integers
    absent: Integers | None

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.vectors.nbytes + self.columns.nbytes


def class_matrix(prompt_set: PromptSet, encode_texts: EncodeTexts) -> ClassMatrix:
    """Encode the texts of a set, each distinct one once, and average those of each label (and of its absence)
    to unit length.
    """
    prompts = list(prompt_set.prompts.values())
    wanted = [entry.present for entry in prompts]
    wanted += [] if prompt_set.exclusive else [entry.absent for entry in prompts]
    groups = {group: position for position, group in enumerate(dict.fromkeys(wanted))}
    distinct = list(dict.fromkeys(text for group in groups for text in group))
    row = {text: position for position, text in enumerate(distinct)}
    vectors = np.asarray(encode_texts(distinct), dtype=np.float64)
    means = unit_vectors(np.stack([vectors[[row[text] for text in group]].mean(axis=0) for group in groups]))
    of_labels = np.array([groups[group] for group in wanted], np.intp)
    return ClassMatrix(
        means,
        np.ascontiguousarray(means.T, dtype=np.float32),
        of_labels[: len(prompts)],
        None if prompt_set.exclusive else of_labels[len(prompts) :],
    )


class ClassMatrices:
    """Matrices by encoder and fingerprint of a set, the most recently used within `most_bytes`; for any
    number of threads.
    """

    def __init__(self, most_bytes: int = 64 << 20) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], ClassMatrix] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, encoder: str, prompt_set: PromptSet, encode_texts: EncodeTexts) -> ClassMatrix:
        """The matrix of a set. `encoder` names what makes vectors: the same name, the same vectors."""
        key = (encoder, prompt_set.fingerprint)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = class_matrix(prompt_set, encode_texts)
        with self._lock:
            if key not in self._kept and made.nbytes <= self._most_bytes:
                self._kept[key] = made
                self._bytes += made.nbytes
            while self._bytes > self._most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes
        return made

    def __len__(self) -> int:
        return len(self._kept)


KEPT_MATRICES = ClassMatrices()
"""Those of this process."""
