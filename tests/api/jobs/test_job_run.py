"""The progress that a run stores."""

from __future__ import annotations

import threading
from typing import Any, cast

from medsiglip.api.jobs.job_run import JobRun
from medsiglip.index.service.jobs import Job, JobQueue
from tests.waiting import eventually


class SlowAtFirst:
    """A queue whose first beat takes until it is let go."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.begun = 0
        self.let_go = threading.Event()

    def beat(self, _job: Job, *, done: int, **_progress: Any) -> str:
        self.begun += 1
        if self.begun == 1:
            assert self.let_go.wait(20)
        self.stored.append(done)
        return "go-on"


def test_the_latest_progress_is_stored_last() -> None:
    """Whatever the thread that renews the lease is storing meanwhile."""
    queue = SlowAtFirst()
    run = JobRun(cast(JobQueue, queue), cast(Job, None))
    run.progress("embedding", 12, 12)
    earlier, last = (threading.Thread(target=run.publish) for _ in range(2))
    earlier.start()
    eventually(lambda: queue.begun)
    run.progress("embedding", 1, 1)
    last.start()
    last.join(0.2)
    queue.let_go.set()
    earlier.join()
    last.join()
    assert queue.stored[-1] == 1
