"""How many tokens a prompt takes, before the generator has seen it."""

from __future__ import annotations

import re
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
