"""How many tokens a prompt takes, before the generator has seen it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Digits are tokens of their own in Gemma's vocabulary. Three letters a token is more than English needs with
# any vocabulary of 32,000 pieces or more; characters outside ASCII may fall back to their bytes.
_PIECE = re.compile(r"[A-Za-z]{1,3}|(?<![ \t])[ \t]++(?=[0-9])|\n+|[^\sA-Za-z]")


@dataclass(frozen=True, slots=True)
class Budget:
    """What a generator accepts. `context_tokens` counts prompt and reply together.

    A picture costs MedGemma 256 tokens, and four more that frame it. `thinking_tokens` are added to every
    reply, for models that think first. `pairs`: whether the model reads a prior and a current picture
    together, as MedGemma does from 1.5 on. Raises ValueError for a number that is not positive.
    """

    context_tokens: int = 32_768
    most_pictures: int = 85
    tokens_per_picture: int = 256
    thinking_tokens: int = 0
    pairs: bool = True

    def __post_init__(self) -> None:
        for name in ("context_tokens", "most_pictures", "tokens_per_picture"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.thinking_tokens < 0:
            raise ValueError(f"thinking_tokens must not be negative, as {self.thinking_tokens} is")

    def picture_cost(self, label: str) -> int:
        """Tokens of one picture with its frame (two breaks, begin, end) and its label."""
        return self.tokens_per_picture + 4 + estimate_tokens(label)


def estimate_tokens(text: str) -> int:
    """At least as many tokens as a subword vocabulary of 32,000 pieces or more makes of English text."""
    return sum(1 if piece.isascii() else len(piece.encode()) for piece in _PIECE.findall(text))


# Models of other families spend fewer tokens on a picture than MedGemma, down to a quarter. A count below
# that of a turn's marks is no count of a prompt: some servers count what they had not cached.
_LEAST_SHARE = 4
_FEWEST_COUNTED = 16
_SMALLEST_CONTEXT = 1024


def is_cut(counted: int, texts: Sequence[str], pictures: int, tokens_per_picture: int, estimate: int) -> bool:
    """Whether a server's count of a prompt shows that it dropped pictures or cut the text.

    A prompt takes at least one token for each word and a quarter of `tokens_per_picture` for each picture;
    `estimate` is what it takes at most. A count that is a power of two from 1024 on, and below the estimate,
    is that of a context which was filled and not of a prompt.
    """
    if counted < _FEWEST_COUNTED:
        return False
    least = sum(len(text.split()) for text in texts) + pictures * (tokens_per_picture // _LEAST_SHARE)
    filled = _SMALLEST_CONTEXT <= counted < estimate and counted & (counted - 1) == 0
    return counted < least or filled
