"""Keeping libraries from telling a log or the terminal what a header holds."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """No log records and warnings of the readers: they quote values, perhaps a name."""
    readers = ("pydicom", "PIL", "tifffile", "nibabel.global")
    levels = {name: logging.getLogger(name).level for name in readers}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
