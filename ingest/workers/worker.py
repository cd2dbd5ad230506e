"""The worker process: reads units from standard input, draws them into its slot, answers on standard output.

Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.units.plan import Unit, plan
from medsiglip.ingest.workers.malloc import keep_freed_memory
from medsiglip.ingest.workers.messages import READY, Answer, Look, receive, send
from medsiglip.ingest.workers.rendered_unit import AS_DISPLAYED, draw_unit, show_unit
from medsiglip.ingest.workers.shared_array import Slot

# A file that wants more than this to be drawn is rejected; the machine's other programs are not.
MAX_MEMORY = 4 << 30
# Decoders may leak: a worker that holds this much after a unit is replaced.
RETIRING_MEMORY = 1 << 30
_NOTHING = np.zeros((0, 1, 1, 3), np.uint8)


def _serve(source: BinaryIO, sink: BinaryIO, slot: Slot, size: int, profile: str) -> None:
    send(sink, READY)
    while True:
        try:
            task, seconds = receive(source)
        except EOFError:
            return
        # Should the parent be gone when the time is up, nobody else ends a decoder that hangs.
        signal.setitimer(signal.ITIMER_REAL, seconds + 2.0)
        try:
            answer = _done(task, slot, size, profile)
        except MemoryError:
            answer = Answer(code="decoder-memory", retires=True)
        except Exception:  # the parent narrows it down to a file
            answer = Answer(code="undecodable-pixels")
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        send(sink, answer)
        if answer.retires:
            return


def _done(task: Unit | Look, slot: Slot, size: int, profile: str) -> Answer:
    if isinstance(task, Look):
        return _looked_at(task, slot)
    if profile == AS_DISPLAYED:
        drawn = show_unit(task, slot.array)
    else:
        drawn = draw_unit(task, size, profile, slot.array)
    return Answer(replace(drawn, inputs=_NOTHING), shape=drawn.inputs.shape, retires=_is_bloated())


def _looked_at(look: Look, slot: Slot) -> Answer:
    from medsiglip.ingest.scan.scan import scan_file

    scanned = scan_file(look.found, look.key)
    units = [] if look.options is None or isinstance(scanned, Rejected) else plan([scanned], look.options)
    if [unit.max_images for unit in units] != [1]:
        return Answer(scanned=scanned, retires=_is_bloated())
    drawn = show_unit(units[0], slot.array)
    answer = Answer(replace(drawn, inputs=_NOTHING), scanned, drawn.inputs.shape)
    return replace(answer, retires=_is_bloated())


@cache
def _statm() -> int | None:
    try:
        return os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:  # not Linux: the limit still holds
        return None


def _is_bloated() -> bool:
    descriptor = _statm()
    if descriptor is None:
        return False
    pages = int(os.pread(descriptor, 100, 0).split()[1])
    return pages * resource.getpagesize() > RETIRING_MEMORY


def _limit_memory() -> None:
    """Let a file that would take too much memory fail, and be the one to go if the machine runs out."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = min(MAX_MEMORY, machine * 3 // 4)
    with contextlib.suppress(OSError, ValueError):  # a lower limit stands already
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's pixels
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900", "ascii")


def main() -> None:
    """Serve until standard input ends; decoders that print are kept off the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when to stop, and kills
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _limit_memory()
    keep_freed_memory()
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    import PIL.Image  # noqa: F401
    import pydicom.pixels  # noqa: F401

    import medsiglip.preprocess  # noqa: F401  # a first file is not timed with what it needs loaded

    _serve(source, sink, Slot(int(sys.argv[3])), int(sys.argv[1]), sys.argv[2])


if __name__ == "__main__":
    main()
