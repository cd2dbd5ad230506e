"""Studies of one PACS are brought in: fetched one by one, and ingested together where they are small.

Whatever ends the process, the next run goes on: studies that were fetched whole are ingested from where they
lie, and only the one that was being fetched is fetched again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from medsiglip.api.archive.ingestion import ingest_apart
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.archive.pacs.comparing import Fetched, fetch_study
from medsiglip.api.archive.pacs.landing import Arrival, Landing, left_behind
from medsiglip.api.archive.pacs.ledger import names_of
from medsiglip.api.archive.pacs.stored_files import drop_folder
from medsiglip.api.archive.pacs.tally import Tally
from medsiglip.api.archive.received import discard_refused
from medsiglip.index.errors import CatalogError
from medsiglip.index.pacs.study_ledger import Settled
from medsiglip.index.storage.deletion import UPLOADS, PacsNames
from medsiglip.ingest.errors import PacsError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.study_ledger import LedgerStudy, StudyNames
    from medsiglip.ingest.pacs.client import PacsClient
    from medsiglip.ingest.pacs.connection import Connection
    from medsiglip.ingest.pacs.records import PacsStudy

# What is ingested in one run, whichever comes first.
MOST_STUDIES = 50
MOST_FILES = 1000
MOST_SECONDS = 60.0
# Where the receiver writes what it gets.
_SPOOL = "incoming"


class Intake:
    """One run on one connection. `tally` counts what became of the studies, of which there are `total`.

    With `only_missing`, instances that are in the archive are not fetched again. `keep_files` is that of the
    connection where it is None.
    """

    def __init__(
        self,
        archive: OpenedArchive,
        connection: Connection,
        tally: Tally,
        *,
        only_missing: bool = False,
        keep_files: bool | None = None,
        on_progress: OnProgress = silent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from medsiglip.ingest.privacy.deidentify import bound_key

        self._archive = archive
        self.connection = connection
        self._tally = tally
        self._only_missing = only_missing
        self._keep_files = connection.keep_files if keep_files is None else keep_files
        self._on_progress = on_progress
        self._clock = clock
        self._key = bound_key(archive.index)
        self._waiting: list[Landing] = []
        self._begun_at = 0.0
        self.total = 0

    @property
    def name(self) -> str:
        """The name of the connection."""
        return self.connection.name

    @property
    def settled(self) -> int:
        """How many studies were fetched so far."""
        return self._tally.asked + len(self._waiting)

    def check(self) -> None:
        """Raise KeyboardInterrupt where the work must stop; says how far it is."""
        self._report()

    def names(self, study_instance_uid: str) -> StudyNames:
        """The names of a study in the ledger."""
        return names_of(self._key, study_instance_uid)

    def names_found(self, study: PacsStudy) -> StudyNames:
        """The names of a study that the PACS describes, and what would be kept of its patient: by the issuer
        that it says, and without, for few say it in an answer.
        """
        names, patient = self.names(study.study_instance_uid), study.patient_id.strip()
        keys = {self._key.patient_key(one, patient) for one in (study.issuer_of_patient_id, "")}
        persons = tuple(self._key.forgotten_uid(one) for one in sorted(keys)) if patient else ()
        return replace(names, persons=persons)

    def digest(self, text: str) -> str:
        """A keyed hash of a text that may name a person."""
        return self._key.derived_uid("sync", text)

    def recover(self) -> None:
        """Go on with what a run that was killed has left: ingest what was fetched whole, and let the rest be
        fetched again.
        """
        name, ledger = self.connection.name, self._archive.index.pacs_studies
        begun = []
        for landing in left_behind(self._archive.home, name):
            if landing.arrival.is_complete:
                self._waiting.append(landing)
                continue
            begun.append(landing.arrival.study_instance_uid)
            self._drop(landing)
        ledger.resume(name, [uid for uid in begun if uid])
        self.ingest()

    def bring(self, client: PacsClient, studies: Iterable[LedgerStudy]) -> None:
        """Bring studies in, as far as their PACS gives them; raises PacsError when it cannot be asked at all.
        What was fetched before is then ingested first.
        """
        try:
            for study in studies:
                self._report()
                self._fetch(client, study)
                if self._is_full():
                    self.ingest()
        except PacsError:
            self.ingest()
            raise
        except BaseException:
            for landing in self._waiting:
                landing.let_go()
            raise
        self.ingest()

    def _fetch(self, client: PacsClient, study: LedgerStudy) -> None:
        name, ledger, uid = self.connection.name, self._archive.index.pacs_studies, study.study_instance_uid
        arrival = Arrival(name, uid, reported=study.expected)
        landing = Landing.begin(self._archive.home, arrival)
        held = self._held(study)
        try:
            if not ledger.begin(name, uid):
                landing.discard()
                return
            fetched = fetch_study(
                client,
                uid,
                landing.folder,
                held=held,
                elsewhere=self._at_receiver(client),
                on_instance=lambda _done, _of: self._report(),
            )
        except PacsError as error:
            landing.discard()
            if error.code == "pacs-timeout":  # perhaps of this study alone, which then waits
                failure = {"code": error.code, "message": str(error)}
                failed = replace(arrival, failure=failure, may_pass=True)
                ledger.settle(name, [self._outcome(failed)])
            else:
                ledger.hand_back(name, [uid])
            raise
        except BaseException:
            landing.let_go()
            raise
        self._note(landing, fetched, held)

    def _at_receiver(self, client: PacsClient) -> Callable[[Sequence[str]], Collection[str]]:
        """Which instances the receiver of this home has of those that the PACS sends there: it brings them in
        itself.
        """
        return self._received if getattr(client, "retrieves_elsewhere", False) else lambda _missing: ()

    def _received(self, sop_instance_uids: Sequence[str]) -> Collection[str]:
        from medsiglip.ingest.receiving.spool import spooled

        home, wanted = self._archive.home, set(sop_instance_uids)
        found = spooled([home / _SPOOL, home / UPLOADS], wanted)
        return found | set(self._archive.index.kept_instances.files_of(wanted - found))

    def _report(self) -> None:
        self._on_progress("fetching", min(self.settled, self.total), self.total)

    def _held(self, study: LedgerStudy) -> set[str]:
        """The instances that need not be fetched again. A strict home does not know them by their UIDs, and a
        series whose files are not kept is rendered from all of them.
        """
        may_add = self._only_missing and study.received and self.connection.keep_files
        if not may_add or self._key.phi == "strict":
            return set()
        found = self._archive.index.instances.of_study(self.names(study.study_instance_uid).own)
        return {instance.sop_instance_uid for _, instance in found}

    def _note(self, landing: Landing, fetched: Fetched, held: Collection[str]) -> None:
        problem = fetched.problem
        if problem is None and not fetched.listed:
            problem = PacsError(
                "pacs-no-study", f"The PACS {self.connection.name} does not list this study any more."
            )
        listed = len({one.sop_instance_uid for one in fetched.listed})
        arrived = replace(
            landing.arrival,
            listed=listed,
            received=len(fetched.received),
            came=len(fetched.received.difference(held)),
            failure=None if problem is None else {"code": problem.code, "message": str(problem)},
            may_pass=problem is not None and problem.may_pass,
            is_complete=True,
        )
        landing.note(arrived)
        if not self._waiting:
            self._begun_at = self._clock()
        self._waiting.append(landing)

    def _is_full(self) -> bool:
        files = sum(landing.arrival.received for landing in self._waiting)
        is_old = self._clock() - self._begun_at >= MOST_SECONDS
        return bool(self._waiting) and (len(self._waiting) >= MOST_STUDIES or files >= MOST_FILES or is_old)

    def ingest(self) -> None:
        """Put what was fetched into the index, and settle it in the ledger."""
        landings, self._waiting = self._waiting, []
        try:
            landings = self._without_forgotten(landings)
            with_files = {landing.folder.name: landing for landing in landings if landing.files()}
            if with_files:
                folders = {name: landing.folder for name, landing in with_files.items()}
                ingested = ingest_apart(self._archive, folders, on_progress=self._on_progress)
                self._tally.add_reports([one.report for one in ingested.values()])
                used = {folders[name]: one.used for name, one in ingested.items()}
                discard_refused(self._archive.index, used)
            self._settle(landings)
            if not self._keep_files:
                for landing in landings:
                    drop_folder(self._archive, landing.folder)
        except BaseException:
            for landing in landings:
                landing.let_go()
            raise
        for landing in landings:
            landing.keep()

    def _without_forgotten(self, landings: Sequence[Landing]) -> list[Landing]:
        """Those of studies that were not forgotten while they were fetched; the others are deleted."""
        names = [self.names(one.arrival.study_instance_uid) for one in landings]
        states = self._archive.index.pacs_studies.states(self.connection.name, names)
        kept = []
        for landing in landings:
            state = states.get(landing.arrival.study_instance_uid)
            if state is not None and state.status == "forgotten":
                self._drop(landing)
            else:
                kept.append(landing)
        return kept

    def _settle(self, landings: Sequence[Landing]) -> None:
        name, ledger = self.connection.name, self._archive.index.pacs_studies
        outcomes = [self._outcome(landing.arrival) for landing in landings]
        ledger.settle(name, outcomes)
        for uid, state in ledger.states(name, [one.names for one in outcomes]).items():
            if state.status == "forgotten":  # while it was ingested
                names = self.names(uid)
                with suppress(CatalogError):
                    self._archive.index.remove_study(names.own, PacsNames(self._key.forgotten_uid, uid))
        for landing, outcome in zip(landings, outcomes, strict=True):
            self._tally.add(outcome, landing.arrival.came, hides_uids=self._key.phi == "strict")

    def _outcome(self, arrival: Arrival) -> Settled:
        names, listed = self.names(arrival.study_instance_uid), arrival.listed or 0
        if listed and arrival.received >= listed:
            return Settled(names, "here", listed, arrival.received, arrival.reported)
        failure, may_pass = arrival.failure, arrival.may_pass
        if arrival.received:
            failure = failure or _incomplete(self.connection.name, arrival.received, listed)
            return Settled(
                names, "incomplete", listed, arrival.received, arrival.reported, failure, may_pass=True
            )
        failure = failure or _incomplete(self.connection.name, 0, listed)
        return Settled(names, "failed", listed or None, 0, arrival.reported, failure, may_pass or listed > 0)

    def _drop(self, landing: Landing) -> None:
        """Delete what was not put into the index, unless a run put it there before it was killed."""
        used = self._archive.index.files.embedded_below(str(landing.folder))
        if used:
            discard_refused(self._archive.index, {landing.folder: used})
            landing.keep()
        else:
            landing.discard()


def _incomplete(name: str, received: int, listed: int) -> dict[str, str]:
    message = (
        f"The PACS {name} lists {listed} instances of this study and gave {received}: it is asked again "
        f"later, or by `pacs retry {name}` and a pull."
    )
    return {"code": "pacs-incomplete", "message": message}
