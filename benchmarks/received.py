"""Instances from four senders at once, ours against dcmtk's `storescp --fork`.

Each sender is dcmtk's `storescu` with a study of 300 CT slices. Ours is `medsiglip receive` in two processes,
which syncs every instance to the disk before it answers; the peer writes and does not sync. Both run
beforehand and take all rounds.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measure import WARM_UPS, Outcome, alternate, medsiglip
from benchmarks.small_slices import write_small_slices

TITLE = "instances received from 4 senders, instances/s ÷ dcmtk storescp --fork"
GOAL = 0.5
GUARD = "all senders end well, and after each round there are as many more files"
SENDERS, SLICES, SIZE, PROCESSES = 4, 300, 512, 2
AE_TITLE = "MEDSIGLIP"
START_SECONDS = 60.0


def measure(folder: Path, rounds: int) -> Outcome:
    if shutil.which("storescp") is None or shutil.which("storescu") is None:
        reason = "storescp is not installed (Debian: apt install dcmtk)"
        return Outcome(TITLE, GOAL, GUARD, SENDERS * SLICES, skipped=reason)
    write_small_slices(folder / "slices", SENDERS * SLICES, SLICES, SIZE)
    studies = sorted((folder / "slices").iterdir())
    with _ours(folder / "home") as our_port, _peer(folder / "peer") as peer_port:
        ours, peer = alternate(partial(_send, studies, our_port), partial(_send, studies, peer_port), rounds)
        sent = SENDERS * SLICES * (rounds + WARM_UPS)
        held = len(list((folder / "home" / "incoming").glob("[0-9a-f]*/*.dcm")))
        # The peer names files by UID, so that every round replaces those of the one before.
        peer_held = len(list((folder / "peer").iterdir()))
    if (held, peer_held) != (sent, SENDERS * SLICES):
        failure = f"ours holds {held} of {sent} files, the peer {peer_held} of {SENDERS * SLICES}"
        return Outcome(TITLE, GOAL, GUARD, SENDERS * SLICES, failure=failure)
    return Outcome(TITLE, GOAL, GUARD, SENDERS * SLICES, ours, peer)


def _send(studies: list[Path], port: int) -> None:
    command = ["storescu", "-aec", AE_TITLE, "+sd", "127.0.0.1", str(port)]
    senders = [subprocess.Popen([*command, str(study)], stderr=subprocess.PIPE) for study in studies]
    for sender in senders:
        _, said = sender.communicate()
        if sender.returncode:
            raise RuntimeError(f"a sender ended with {sender.returncode}: {said[-200:]!r}")


@contextmanager
def _ours(home: Path) -> Iterator[int]:
    words = ["receive", "--port", "0", "--processes", str(PROCESSES), "--quiet", "3600"]
    receiver = subprocess.Popen(medsiglip(home, *words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert receiver.stdout is not None
        port: int = json.loads(receiver.stdout.readline())["port"]
        _wait_for(port)
        yield port
    finally:
        receiver.terminate()
        receiver.communicate()


@contextmanager
def _peer(folder: Path) -> Iterator[int]:
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = ["storescp", "--fork", "-aet", AE_TITLE, "-od", str(folder), str(port)]
    receiver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        receiver.terminate()
        receiver.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    command = ["echoscu", "-aec", AE_TITLE, "127.0.0.1", str(port)]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if time.monotonic() > until:
            raise RuntimeError("a receiver did not start")
        time.sleep(0.2)
