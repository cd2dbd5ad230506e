"""The command line in a pseudo-terminal of some width, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from unittest.mock import patch

from medsiglip.api.cli.main import main

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Written after the command: a process that goes on, such as Python's tracker of shared memory, may keep the
# terminal open.
_END = b"\x00end of the command\x00"


@dataclass(frozen=True)
class Screen:
    """What a command wrote on the terminal, without colours, line by line."""

    code: int
    lines: list[str]


def in_terminal(columns: int, *words: object) -> Screen:
    """Run `medsiglip` in this process with these words, in a terminal of so many columns."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    written = bytearray()
    reader = Thread(target=_read, args=(ours, written))
    reader.start()
    try:
        with _standard_streams_at(theirs):
            code = main([str(word) for word in words])
    finally:
        os.write(theirs, _END)
        os.close(theirs)
        reader.join()
        os.close(ours)
    text = _ESCAPES.sub("", written.removesuffix(_END).decode())
    return Screen(code, [line.rstrip() for line in text.replace("\r\n", "\n").splitlines()])


@contextmanager
def _standard_streams_at(terminal: int) -> Iterator[None]:
    """Let this process have the terminal as its standard input, output and error output."""
    kept = [os.dup(number) for number in range(3)]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    try:
        for number in range(3):
            os.dup2(terminal, number)
        with (
            open(0, closefd=False) as given,
            open(1, "w", buffering=1, encoding="utf-8", closefd=False) as out,
            open(2, "w", buffering=1, encoding="utf-8", closefd=False) as err,
            patch.multiple(sys, stdin=given, stdout=out, stderr=err),
            patch.dict(os.environ, environment | {"TERM": "xterm-256color"}, clear=True),
        ):
            yield
    finally:
        for number, copy in enumerate(kept):
            os.dup2(copy, number)
            os.close(copy)


def _read(terminal: int, written: bytearray) -> None:
    """Take what is written, up to the end of the command."""
    while not written.endswith(_END):
        written += os.read(terminal, 65536)
