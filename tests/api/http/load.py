"""Concurrent clients of one service, and the answers and errors they saw."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medsiglip.client.client import ApiError, Client
from medsiglip.client.connection import may_pass


@dataclass
class Seen:
    """Seconds of every answered request by kind, refusals that may pass, errors that may not, and the jobs
    that were accepted.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    passing: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, seconds: float) -> None:
        """Record one answer."""
        with self.lock:
            self.seconds.setdefault(kind, []).append(seconds)

    @property
    def all_seconds(self) -> list[float]:
        """Seconds of all answers, of every kind."""
        return [one for kind in self.seconds.values() for one in kind]

    def percentile(self, percent: float) -> float:
        """A percentile of `all_seconds`."""
        return float(np.percentile(self.all_seconds, percent))

    def summary(self) -> str:
        """Figures as text, a line for each kind."""
        lines = [
            f"{kind}: {len(found)}, p50 {np.median(found) * 1e3:.0f} ms, "
            f"p99 {np.percentile(found, 99) * 1e3:.0f} ms"
            for kind, found in sorted(self.seconds.items())
        ]
        whole = (
            f"all: {len(self.all_seconds)}, p50 {self.percentile(50):.3f} s, p99 {self.percentile(99):.3f} s"
        )
        return "\n".join([*lines, whole, f"may pass: {dict(self.passing)}", f"jobs: {len(self.jobs)}"])


@dataclass(frozen=True)
class Work:
    """The data of requests: studies of the archive, files of them, and files that are not in it yet."""

    studies: Sequence[str]
    files: Sequence[Path]
    new_files: Sequence[Path]


def run_load(make: Callable[[], Client], work: Work, *, clients: int, seconds: float, seed: int = 0) -> Seen:
    """`clients` threads send requests back to back, and one more uploads files. `make` gives a client that
    does not try again by itself.
    """
    seen, until = Seen(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=_ask, args=(make, work, seen, until, random.Random(f"{seed}-{number}")))
        for number in range(clients)
    ]
    threads.append(threading.Thread(target=_send, args=(make, work, seen, until)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def _ask(make: Callable[[], Client], work: Work, seen: Seen, until: float, draw: random.Random) -> None:
    with make() as client:
        kinds: dict[str, Callable[[], object]] = {
            "classify study": lambda: client.classify(study=draw.choice(work.studies), prompts="phantoms"),
            "classify file": lambda: client.classify(draw.choice(work.files), labels=["mole", "chest"]),
            "search text": lambda: client.search(text=draw.choice(["effusion", "melanoma", "nodule"]), k=10),
            "search study": lambda: client.search(study=draw.choice(work.studies), k=10),
            "search file": lambda: client.search(image=draw.choice(work.files), k=10),
            "study": lambda: client.study(draw.choice(work.studies)),
        }
        while time.monotonic() < until:
            kind = draw.choice(list(kinds))
            _timed(kind, kinds[kind], seen)


def _send(make: Callable[[], Client], work: Work, seen: Seen, until: float) -> None:
    """Upload some new files, wait for their job, and so on."""
    waiting = list(work.new_files)
    with make() as client:
        while time.monotonic() < until:
            if not waiting:
                waiting = list(work.new_files)
            some = [waiting.pop() for _ in range(min(8, len(waiting)))]
            job = _timed("upload", lambda some=some: client.upload(*some), seen)  # type: ignore[misc]
            if job is None:
                continue
            with seen.lock:
                seen.jobs.append(job.id)
            while time.monotonic() < until:
                state = _timed("job", lambda job=job: client.job(job.id), seen)  # type: ignore[misc]
                if state is not None and state.is_final:
                    break
                time.sleep(0.2)


def _timed(kind: str, call: Callable[[], object], seen: Seen) -> Any:
    begun = time.perf_counter()
    try:
        answer = call()
    except ApiError as error:
        with seen.lock:
            if error.status == 0 or may_pass(error.status):
                seen.passing[error.code] += 1
            else:
                seen.errors.append(f"{kind}: {error.status} {error.code} {error}")
        time.sleep(0.2)
        return None
    seen.note(kind, time.perf_counter() - begun)
    return answer
