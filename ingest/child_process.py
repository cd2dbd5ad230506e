"""Starting processes: programs that a person names, and Python that imports nothing from the current folder.

`python -m` and `python -c` look for modules in the current folder first, and an empty entry of PYTHONPATH
means that folder too: a user's `numpy.py` would be run. `-P` and PYTHONSAFEPATH keep it out of `sys.path`,
the latter also in processes that a child starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import medsiglip

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor


def start_module(
    module: str,
    words: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    stdout: int = subprocess.PIPE,
    stderr: int | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start `python -m MODULE WORDS...`; standard input, and by default standard output, are unbuffered
    pipes.

    The process gets this environment updated with `environment`, inherits the file `descriptors`, and has its
    own session: Ctrl-C on the terminal goes to this process alone. Raises OSError.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *words],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        bufsize=0,
        env={**os.environ, **(environment or {}), **_import_variables()},
        pass_fds=tuple(descriptors),
        start_new_session=True,
    )


def start_command(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program that the person named, without a shell, with nothing to read and its output in a pipe.

    It has its own session, so that what it starts can be ended with it. Raises OSError, and ValueError for
    words that no program can be given.
    """
    return subprocess.Popen(
        list(words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def process_pool(
    processes: int, initializer: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned processes, for work that can be pickled; `initializer` is called in each.

    multiprocessing takes no environment for its processes, so the variables are this process's own until the
    pool is closed.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with (
        importing_safely(),
        ProcessPoolExecutor(processes, get_context("spawn"), initializer=initializer) as pool,
    ):
        yield pool


@contextmanager
def importing_safely() -> Iterator[None]:
    """Within the block this process has the variables of its children, for libraries that start processes and
    take no environment for them.
    """
    variables = _import_variables()
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _import_variables() -> dict[str, str]:
    """Where children import from: our packages, then the absolute entries of PYTHONPATH."""
    source_root = str(Path(medsiglip.__file__).resolve().parent.parent)
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join([source_root, *filter(os.path.isabs, entries)])
    return {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
