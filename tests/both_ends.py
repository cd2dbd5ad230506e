"""How test files are shared out among processes: each process goes on with the neighbours of what it ran."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController


class BothEndsScheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Files in the order of their folders: of two processes one begins with the first, the other with the
    last, until they meet. What tests of a folder share (services, servers, archives) is so made in one of
    them, and not in both.
    """

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _assign_work_unit(self, node: WorkerController) -> None:
        nodes: Sequence[WorkerController] = self.nodes
        if nodes.index(node) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)
