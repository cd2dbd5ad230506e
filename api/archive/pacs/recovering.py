"""What a run that ended has fetched comes in, though nobody pulls or syncs that PACS again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from medsiglip.api.archive.pacs.landing import connections_left

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


def order_recovery(archive: OpenedArchive, clock: Callable[[], float] = time.time) -> list[str]:
    """Order a pull of nothing, which goes on with what was left, for each connection that has some; at most
    once an hour. Returns their names.
    """
    there = {one.name for one in archive.index.pacs_connections.listed()}
    names = sorted(connections_left(archive.home) & there)
    for name in names:
        parameters = {"connection": name, "study_instance_uids": [], "announced": True}
        key = f"pacs-recovery:{name}:{int(clock() // 3600)}"
        archive.index.jobs.submit("pacs-pull", parameters, idempotency_key=key)
    return names
