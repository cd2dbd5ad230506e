"""The receiver: it opens the port, keeps the processes that receive running, and hands quiet studies over.

While the catalogue or the disk is away it receives on, and hands over when they are back.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING

from medsiglip.api.errors import explain
from medsiglip.api.jobs.patience import TEMPORARY
from medsiglip.api.jobs.supervision import SupervisedProcess
from medsiglip.api.receiving.commitments import report_due
from medsiglip.api.receiving.handing_over import HandOver
from medsiglip.api.receiving.quiet_studies import QuietStudies
from medsiglip.api.receiving.state import Counts, StateFile, remove_left
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.spool import SPOOL
from medsiglip.index.vectors import make_folder
from medsiglip.ingest.receiving.places import Places

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.ingest.receiving.options import ReceiverOptions

LOOK_SECONDS = 1.0
REPAIR_SECONDS = 300.0
REPORT_SECONDS = 10.0
GRACE_SECONDS = 10.0
_SAY_AGAIN_SECONDS = 60.0
_log = logging.getLogger("medsiglip.receiver")


class Receiver:
    """The receiver of one home, in the thread that calls `run`."""

    def __init__(
        self,
        archive: OpenedArchive,
        options: ReceiverOptions,
        listener: socket.socket,
        words: Callable[[str], Sequence[str]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`words` are those of the command line of a process that receives in this place."""
        settings = archive.settings
        self._archive, self._options, self._clock = archive, options, clock
        name = token_hex(4)
        self._children = [
            SupervisedProcess(
                "medsiglip.api.cli", words(f"{name}-{number}"), descriptors=(listener.fileno(),)
            )
            for number in range(1, settings.receive_processes + 1)
        ]
        self._counts = Counts(options.ae_title, listener.getsockname()[1])
        self._state = StateFile(archive.home, f"{name}-0", self._counts)
        self._quiet = QuietStudies(
            archive.home, settings.receive_quiet_seconds, settings.receive_longest_seconds
        )
        self._hand = HandOver(archive)
        self._places = Places(
            archive.home / SPOOL, options.associations, min(options.associations_of_one, options.associations)
        )
        # Not an Event: see medsiglip.api.jobs.worker.
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopping = False
        self._ended = threading.Event()
        self._repair_at = self._say_at = float("-inf")

    def prepare(self) -> None:
        """Make the home if it is not there yet. Raises the `CatalogError` of one that cannot be used."""
        make_folder(self._archive.home / SPOOL)
        try:
            self._archive.make()
        except CatalogError as error:
            if error.code not in TEMPORARY:
                raise
            _log.warning("%s (%s); instances are received on", error, error.code)

    def run(self) -> None:
        """Receive and hand over until `stop`."""
        remove_left(self._archive.home)
        self._places.prepare()
        self._state.start()
        try:
            for child in self._children:
                child.start()
            threading.Thread(target=self._report, name="reports", daemon=True).start()
            while not self._stopping:
                self.look()
                with suppress(queue.Empty):
                    self._wake_ups.get(timeout=LOOK_SECONDS)
        finally:
            self._ended.set()
            for child in self._children:
                child.request_stop()
            deadline = time.monotonic() + GRACE_SECONDS
            for child in self._children:
                child.stop(within_s=max(deadline - time.monotonic(), 0.1))
            self._state.stop()

    def stop(self) -> None:
        """End `run`: open associations end with the instance that they receive. Safe in a signal handler."""
        self._stopping = True
        self._wake_ups.put(None)

    def look(self) -> None:
        """Hand over what is quiet, and do what is due; what cannot be done now is tried again."""
        try:
            now = self._clock()
            due = self._quiet.look(now)
            self._counts.waiting_studies = len(self._quiet)
            self._counts.associations = self._places.count()
            if now >= self._repair_at:
                self._archive.make()
                try:
                    self._hand.repair()
                except OSError as error:  # of some folders: others do not wait for them
                    self._say(error)
                self._hand.retry_failed()
                self._repair_at = now + REPAIR_SECONDS
            self._counts.waiting_studies -= self._hand.hand_over(due)
        except Exception as error:
            self._repair_at = float("-inf")
            self._say(error)

    def _report(self) -> None:
        """Report on storage commitment, which may wait for a peer for minutes."""
        while not self._ended.wait(REPORT_SECONDS):
            try:
                report_due(self._archive, self._options)
            except Exception as error:
                self._say(error)

    def _say(self, error: Exception) -> None:
        """Log what went wrong, once a minute."""
        now = self._clock()
        if now < self._say_at:
            return
        self._say_at = now + _SAY_AGAIN_SECONDS
        explained = explain(error)
        if explained is None:
            _log.error("studies cannot be handed over", exc_info=error)
        else:
            _log.warning("%s (%s); instances are received on", explained.message, explained.code)
