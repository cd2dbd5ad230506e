"""Batches of training pictures, their captions, and augmentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medsiglip.tokenizer import Tokenizer

# A caption of at most this many pictures is not counted as shared.
_FEW = 20


class CaptionTable:
    """The distinct captions of all pictures, numbered, and which pictures list them.

    `tokens` int64 [m, context length]; the first `shared_count` are those of many pictures. `truncated`
    counts the listings of captions longer than the context.
    """

    def __init__(self, captions: Sequence[Sequence[str]], tokenizer: Tokenizer) -> None:
        uses = Counter(caption for listed in captions for caption in set(listed))
        texts = sorted(uses, key=lambda text: (uses[text] <= _FEW, text))
        number = {text: i for i, text in enumerate(texts)}
        self._listed = [np.array([number[c] for c in dict.fromkeys(listed)]) for listed in captions]
        self.shared_count = sum(count > _FEW for count in uses.values())
        self.tokens = tokenizer(texts)
        cut = np.array(tokenizer.lengths(texts)) > tokenizer.context_length - 1
        self.truncated = sum(int(cut[listed].sum()) for listed in self._listed)
        alone = np.array([uses[text] == 1 for text in texts])
        self._own = [listed[alone[listed]] for listed in self._listed]
        self._shared = [listed[listed < self.shared_count] for listed in self._listed]

    def first(self, pictures: NDArray[np.intp]) -> NDArray[np.int64]:
        """The first caption of each picture."""
        return np.array([self._listed[i][0] for i in pictures])

    def shared(self, pictures: NDArray[np.intp]) -> NDArray[np.int64]:
        """The distinct captions of the pictures that many pictures share."""
        return np.unique(np.concatenate([self._shared[i] for i in pictures]))

    def sample(self, pictures: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The distinct captions that a step uses: `count` of each picture, chosen at random from its list,
        the first from those that no other picture has, if there are any.
        """
        chosen = []
        for i in pictures:
            own, listed = self._own[i], self._listed[i]
            chosen.append(rng.choice(own if len(own) else listed))
            chosen += rng.choice(listed, count - 1).tolist()
        return np.unique(chosen)

    def matches(self, pictures: NDArray[np.intp], captions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether picture n lists caption m, [n, m]."""
        return np.array([np.isin(captions, self._listed[i]) for i in pictures])


def make_batches(groups: Sequence[str], batch_size: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The indices of the pictures in random batches of about `batch_size`, each index once.

    Where there are several groups, a batch is two halves of one group each: what has to be learned is mostly
    how pictures of one kind differ.
    """
    names = np.array(groups)
    kinds = np.unique(names)
    part = batch_size if len(kinds) == 1 else max(1, batch_size // 2)
    parts: list[NDArray[np.intp]] = []
    for kind in kinds:
        order = rng.permutation(np.flatnonzero(names == kind))
        parts += [order[start :: -(-len(order) // part)] for start in range(-(-len(order) // part))]
    shuffled = [parts[i] for i in rng.permutation(len(parts))]
    if len(kinds) == 1:
        return shuffled
    # With an odd count the last part joins the batch before it: a batch of one group is easier than the
    # others.
    pairs = [shuffled[i : i + 2] for i in range(0, len(shuffled) - 1, 2)] or [shuffled]
    if len(shuffled) % 2 and len(shuffled) > 1:
        pairs[-1].append(shuffled[-1])
    return [np.concatenate(pair) for pair in pairs]


def augment(
    pictures: NDArray[np.uint8], rng: np.random.Generator, shift: float, intensity: float
) -> NDArray[np.uint8]:
    """`pictures` [n, S, S, 3] shifted, and changed in contrast and brightness, by up to these shares.

    Pixels that move in from outside are black, as in padding, and black stays black.
    """
    count, size = pictures.shape[:2]
    most = round(shift * size)
    out = np.zeros_like(pictures)
    moves = rng.integers(-most, most + 1, (count, 2))
    gains = 1 + rng.uniform(-intensity, intensity, (count, 1))
    offsets = 127.5 + 127.5 * rng.uniform(-intensity, intensity, (count, 1))
    tables = np.clip(np.rint((np.arange(256) - 127.5) * gains + offsets), 0, 255).astype(np.uint8)
    tables[:, 0] = 0
    for i, (down, right) in enumerate(moves.tolist()):
        source = pictures[i, max(0, -down) : size - max(0, down), max(0, -right) : size - max(0, right)]
        out[i, max(0, down) : size + min(0, down), max(0, right) : size + min(0, right)] = tables[i][source]
    return out
