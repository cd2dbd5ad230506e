"""The worker process: tasks on standard input, images in shared memory, replies on standard output.

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

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.privacy.quiet import silence_readers
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.units.plan import Unit, plan
from medsiglip.ingest.workers.messages import READY, FileTask, Reply, ScanTask, receive, send
from medsiglip.ingest.workers.rendered_unit import AS_DISPLAYED, render_for_display, render_unit
from medsiglip.ingest.workers.shared_array import SharedArray

# A file that needs more than this is rejected, so that other programs on the machine keep their memory.
MAX_MEMORY = 4 << 30
# Decoders may leak: a worker that still uses this much after a unit is replaced.
RETIRING_MEMORY = 1 << 30
# Just below the greatest size that glibc lets its threshold follow (DEFAULT_MMAP_THRESHOLD_MAX, mallopt(3)).
_LARGEST_KEPT = (32 << 20) - (1 << 16)
_NOTHING = np.zeros((0, 1, 1, 3), np.uint8)


def _serve(source: BinaryIO, sink: BinaryIO, shared: SharedArray, size: int, profile: str) -> None:
    send(sink, READY)
    while True:
        try:
            task, seconds, patience = receive(source)
        except EOFError:
            return
        # SIGPROF ends the process when it has used its processor time; the parent waits for `patience`. If it
        # is gone by then, nothing else ends a decoder that hangs.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, patience + 2.0)
        try:
            reply = _perform(task, shared, size, profile)
        except MemoryError:
            reply = Reply(code="decoder-memory", retires=True)
        except DecodeError as error:
            reply = Reply(code=error.code)
        except Exception:  # the parent finds out which file it is
            reply = Reply(code="undecodable-pixels")
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        send(sink, reply)
        if reply.retires:
            return


def _perform(task: Unit | ScanTask | FileTask, shared: SharedArray, size: int, profile: str) -> Reply:
    if isinstance(task, ScanTask):
        return _scan(task, shared)
    if isinstance(task, FileTask):
        return Reply(performed=task.perform(), retires=_is_bloated())
    if profile == AS_DISPLAYED:
        rendered = render_for_display(task, shared.array)
    else:
        rendered = render_unit(task, size, profile, shared.array)
    return Reply(replace(rendered, inputs=_NOTHING), shape=rendered.inputs.shape, retires=_is_bloated())


def _scan(task: ScanTask, shared: SharedArray) -> Reply:
    from medsiglip.ingest.scan.scan import scan_file

    scanned = scan_file(task.found, task.key)
    units = [] if task.options is None or isinstance(scanned, Rejected) else plan([scanned], task.options)
    if [unit.max_images for unit in units] != [1]:
        return Reply(scanned=scanned, retires=_is_bloated())
    rendered = render_for_display(units[0], shared.array)
    reply = Reply(replace(rendered, inputs=_NOTHING), scanned, rendered.inputs.shape)
    return replace(reply, retires=_is_bloated())


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
    """Bound the memory of a file, and make this the first process to end if the machine runs out."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = min(MAX_MEMORY, machine * 3 // 4)
    with contextlib.suppress(OSError, ValueError):  # a lower limit is set already
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's pixels
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900", "ascii")


def keep_freed_memory() -> None:
    """Make the allocator reuse freed arrays of up to 32 MiB instead of returning each to the system.

    glibc maps large arrays one by one, and their pages are faulted in anew each time: half the time of
    rendering a radiograph. It stops doing so for sizes that it has seen freed once (M_MMAP_THRESHOLD in
    mallopt(3)), and then gives memory back once 64 MiB lie free. Elsewhere this does nothing.
    """
    bytearray(_LARGEST_KEPT)


def main() -> None:
    """Serve until standard input ends. Decoders that print do not reach the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when to stop, and kills
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    _limit_memory()
    keep_freed_memory()
    silence_readers()
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    import PIL.Image  # noqa: F401
    import pydicom.pixels  # noqa: F401

    import medsiglip.preprocess  # noqa: F401  # loaded before the time of the first file counts

    _serve(source, sink, SharedArray(int(sys.argv[3])), int(sys.argv[1]), sys.argv[2])


if __name__ == "__main__":
    main()
