"""Keeping libraries from telling a log or the terminal what a header holds."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_READERS = ("pydicom", "PIL", "tifffile", "nibabel.global")
_NOTHING = logging.CRITICAL + 1


def silence_readers() -> None:
    """No log records of the readers in this process any more.

    Each change of a level makes every logger forget what it is enabled for, which takes as long as hashing a
    file of 2 MB.
    """
    for name in _READERS:
        logging.getLogger(name).setLevel(_NOTHING)


@contextmanager
def quiet() -> Iterator[None]:
    """No log records and warnings of the readers: they quote values, perhaps a name."""
    loggers = (logging.getLogger(name) for name in _READERS)
    levels = {logger: logger.level for logger in loggers if logger.level < _NOTHING}
    for logger in levels:
        logger.setLevel(_NOTHING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
