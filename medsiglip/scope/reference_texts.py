"""Texts that questions to an archive are like, and texts of other domains and languages."""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources

from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set

_NONSENSE = 60
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class ReferenceTexts:
    """`fitted` shape a score together with the `outliers`, `held_out` set its threshold. Texts of one label
    of a prompt set are all in one of the two, as they are alike. `queries` are written as people ask.
    """

    fitted: tuple[str, ...]
    held_out: tuple[str, ...]
    outliers: tuple[str, ...]
    queries: tuple[str, ...]


@cache
def reference_texts() -> ReferenceTexts:
    """The texts of the package: bundled prompt sets, written questions, and outliers."""
    file = resources.files("medsiglip.scope") / "reference_texts.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    groups: dict[str, str] = {text: text for text in table["queries"]}
    for name in list_prompt_sets():
        for label, prompts in load_prompt_set(name).prompts.items():
            groups |= {text: groups.get(text, label) for text in (*prompts.present, *prompts.absent)}
    held_out = tuple(text for text, group in groups.items() if _is_held_out(group))
    return ReferenceTexts(
        fitted=tuple(text for text, group in groups.items() if not _is_held_out(group)),
        held_out=held_out,
        outliers=(*table["other_domains"], *table["other_languages"], *_nonsense()),
        queries=tuple(table["queries"]),
    )


def _is_held_out(group: str) -> bool:
    return blake2b(group.encode()).digest()[0] % 2 == 1


def _nonsense() -> tuple[str, ...]:
    """Letters at random, the same in every run: one word of any, or the same letter several times."""
    draw = random.Random(99)
    texts = []
    for i in range(_NONSENSE):
        if i % 2:
            texts.append("".join(draw.choice(_LETTERS) for _ in range(draw.randint(4, 10))))
        else:
            words = range(draw.randint(1, 3))
            texts.append(" ".join(draw.choice(_LETTERS) * draw.randint(3, 6) for _ in words))
    return tuple(texts)
