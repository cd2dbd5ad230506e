"""Texts and pictures that fit no archive of phantoms, from sources that nobody here made, and ones that do.

Each comes in two halves: `tried` are of the sources with which ways to tell them were tried out, `unseen` of
others. Neither sets a threshold.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import inspect
import json
import random
import re
import statistics
import string
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
HALVES = ("tried", "unseen")
_LANGUAGES = {"tried": ("de", "es", "fr", "ru", "ar", "nl"), "unseen": ("it", "pt", "lv", "eu", "fa")}


def nonsense(half: str, count: int) -> list[str]:
    """Letters at random, or the letters of words of an English dictionary in another order."""
    draw = random.Random(f"nonsense {half}")
    if half == "tried":
        lengths = ([draw.randint(3, 9) for _ in range(draw.randint(1, 5))] for _ in range(count))
        return [" ".join("".join(draw.choices(string.ascii_lowercase, k=n)) for n in one) for one in lengths]
    words = [word for word in _dictionary("en", 0, 4000) if len(word) > 4]
    return [
        " ".join("".join(draw.sample(word, len(word))) for word in draw.sample(words, draw.randint(1, 4)))
        for _ in range(count)
    ]


def other_domains(half: str, count: int) -> list[str]:
    """Sentences of documentation: of Python's language and scikit-learn's data sets, or of modules of Python
    and SciPy.
    """
    if half == "tried":
        from pydoc_data.topics import topics

        folder = resources.files("sklearn.datasets.descr")
        described = ("iris", "wine_data", "california_housing", "covtype", "kddcup99", "lfw", "rcv1")
        texts = [*topics.values(), *((folder / f"{name}.rst").read_text("utf-8") for name in described)]
    else:
        import scipy.optimize
        import scipy.signal

        modules = (argparse, statistics, random, csv, json, gzip, scipy.optimize, scipy.signal)
        texts = [text for module in modules for text in _documentation(module)]
    sentences = sorted({one for text in texts for one in _sentences(text)})
    return random.Random(f"domains {half}").sample(sentences, count)


def other_languages(half: str, count: int) -> list[str]:
    """Words of the dictionaries of a spelling checker, one to seven at a time."""
    draw = random.Random(f"languages {half}")
    low, high = (0, 4000) if half == "tried" else (4000, 20_000)
    words = [_dictionary(name, low, high) for name in _LANGUAGES[half]]
    return [" ".join(draw.sample(words[i % len(words)], draw.randint(1, 7))) for i in range(count)]


def photographs(half: str, count: int) -> list[Pixels]:
    """Parts of photographs and graphics of scikit-learn and matplotlib: of left halves, or right ones."""
    from matplotlib import get_data_path
    from PIL import Image

    sample = Path(get_data_path()) / "sample_data"
    pictures = resources.files("sklearn.datasets.images")
    files = [
        *(Path(str(pictures / name)) for name in ("china.jpg", "flower.jpg")),
        *(sample / name for name in ("grace_hopper.jpg", "Minduka_Present_Blue_Pack.png", "logo2.png")),
    ]
    draw = random.Random(f"photographs {half}")
    found = []
    for i in range(count):
        with Image.open(files[i % len(files)]) as opened:
            picture = opened.convert("RGB")
        middle = picture.width // 2
        left, right = (0, middle) if half == "tried" else (middle, picture.width)
        picture = picture.crop((left, 0, right, picture.height))
        side = int(draw.uniform(0.4, 0.9) * min(picture.size))
        left, top = (draw.randint(0, size - side) for size in picture.size)
        found.append(np.asarray(picture.crop((left, top, left + side, top + side))))
    return found


def drawings(half: str, count: int) -> list[Pixels]:
    """Handwritten digits that scikit-learn brings, enlarged, and every tenth a map of heights of matplotlib's
    samples.
    """
    from matplotlib import get_data_path
    from sklearn.datasets import load_digits

    digits = load_digits().images
    first = 0 if half == "tried" else 900
    with np.load(Path(get_data_path()) / "sample_data" / "jacksboro_fault_dem.npz") as file:
        heights = file["elevation"].astype(float)
    heights = (255 * (heights - heights.min()) / np.ptp(heights)).astype(np.uint8)
    draw = np.random.default_rng(first)
    found: list[Pixels] = []
    for i in range(count):
        if i % 10 == 0:
            top, left = (int(draw.integers(0, size - 100)) for size in heights.shape)
            found.append(heights[top : top + 100, left : left + 100])
        else:
            found.append(np.kron(digits[first + i] * 15.9, np.ones((16, 16))).astype(np.uint8))
    return found


def _documentation(module: object) -> Iterator[str]:
    """What a module and what it holds say of themselves."""
    for value in (module, *(getattr(module, name) for name in dir(module) if not name.startswith("_"))):
        text = inspect.getdoc(value)
        if text:
            yield text


def _sentences(text: str) -> list[str]:
    flat = re.sub(r"\s+", " ", text)
    parts = (part.strip() for part in re.split(r"(?<=[.!?])\s", flat))
    return [part for part in parts if 15 <= len(part) <= 150 and sum(map(str.isalpha, part)) > len(part) / 2]


def _dictionary(language: str, low: int, high: int) -> list[str]:
    file = resources.files("spellchecker.resources") / f"{language}.json.gz"
    counts: dict[str, int] = json.loads(gzip.decompress(file.read_bytes()))
    return sorted(counts, key=lambda word: (-counts[word], word))[low:high]
