"""The command line in a pseudo-terminal of some width, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Screen:
    """What a command wrote on the terminal, without colours, line by line."""

    code: int
    lines: list[str]


def in_terminal(columns: int, *words: object) -> Screen:
    """Run `medsiglip` with these words in a terminal of so many columns."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "medsiglip.api.cli", *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    try:
        written = _all_from(ours)
    finally:
        process.kill()  # one that waits for ever; the others have ended
        os.close(ours)
    text = _ESCAPES.sub("", written.decode())
    return Screen(process.wait(), [line.rstrip() for line in text.replace("\r\n", "\n").splitlines()])


def _all_from(terminal: int) -> bytes:
    """What is written until the terminal is closed; fails after two minutes of silence."""
    written = bytearray()
    while True:
        assert select.select([terminal], [], [], 120)[0], "the command neither writes nor ends"
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the terminal is closed (EIO on Linux)
            return bytes(written)
        if not piece:
            return bytes(written)
        written += piece
