"""The English words that tell a typing error or a foreign word from a word of a report."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection
from functools import cache
from importlib import resources


@cache
def english_words() -> Collection[str]:
    """English words in lower case, those of PyPI's pyspellchecker; read when first needed."""
    packed = (resources.files("spellchecker") / "resources" / "en.json.gz").read_bytes()
    return frozenset(json.loads(gzip.decompress(packed)))
