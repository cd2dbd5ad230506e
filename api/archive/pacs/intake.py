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
from medsiglip.api.archive.pacs.forgotten_patients import ForgottenPatients
from medsiglip.api.archive.pacs.landing import Arrival, Landing, Purpose, left_behind
from medsiglip.api.archive.pacs.ledger import names_of
from medsiglip.api.archive.pacs.stored_files import drop_copies, drop_folder, files_state, note_fetched
from medsiglip.api.archive.pacs.tally import Tally
from medsiglip.api.archive.received import discard_refused
from medsiglip.index.errors import CatalogError
from medsiglip.index.pacs.study_ledger import Settled
from medsiglip.index.storage.deletion import UPLOADS, PacsNames
from medsiglip.ingest.errors import InterruptedIngestError, PacsError
from medsiglip.ingest.pacs.records import PacsQuery

if TYPE_CHECKING:
    from pathlib import Path

    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.study_ledger import LedgerStudy, StudyNames
    from medsiglip.ingest.pacs.client import PacsClient
    from medsiglip.ingest.pacs.connection import Connection
    from medsiglip.ingest.pacs.records import PacsStudy

# What is ingested in one run, whichever comes first.
MOST_STUDIES = 50
MOST_FILES = 1000
MOST_SECONDS = 60.0
# One study after the other that a PACS refuses, until its refusal is taken for that of the connection.
_MOST_REFUSED = 3
# Where the receiver writes what it gets.
_SPOOL = "incoming"


class Intake:
    """One run on one connection. `tally` counts what became of the studies, of which there are `total`.

    For a sync, instances whose files are here are not fetched again; for a fetch, files stay for a while.
    """

    def __init__(
        self,
        archive: OpenedArchive,
        connection: Connection,
        tally: Tally,
        *,
        purpose: Purpose = "waiting",
        on_progress: OnProgress = silent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._archive = archive
        self.connection = connection
        self._tally = tally
        self._purpose = purpose
        self._on_progress = on_progress
        self._clock = clock
        self._take_key()
        self._refused = 0
        self._waiting: list[Landing] = []
        self._begun_at = 0.0
        self.total = 0

    def _take_key(self) -> None:
        from medsiglip.ingest.privacy.deidentify import bound_key

        self._key = bound_key(self._archive.index)
        self._patients = ForgottenPatients(self._archive, self._key)

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
        issuers = sorted({study.issuer_of_patient_id.strip(), ""})
        marks = (self._key.forgotten_patient(one, patient) for one in issuers)
        persons = tuple(mark for several in marks for mark in several) if patient else ()
        return replace(names, persons=persons)

    def is_away(self, client: PacsClient, study: LedgerStudy) -> bool:
        """Whether a study that a PACS announced is of a patient who was forgotten; it is then left there."""
        self.require_key()
        uid, ledger = study.study_instance_uid, self._archive.index.pacs_studies
        found = client.studies(PacsQuery(study_instance_uid=uid, limit=1))
        named = (self.names_found(one) for one in found if one.study_instance_uid == uid)
        return any(ledger.is_away(self.name, names) for names in named)

    def require_key(self) -> None:
        """Raise `CatalogError` `key-rotated` where the home has another secret by now, under which nothing
        that this run names would be known as forgotten.
        """
        if self._archive.index.key_fingerprint != self._key.fingerprint:
            raise CatalogError(
                "key-rotated",
                "The secret key of the home was rotated meanwhile; what was fetched waits: run this again.",
            )

    def digest(self, text: str) -> str:
        """A keyed hash of a text that may name a person."""
        return self._key.derived_uid("sync", text)

    def recover(self) -> frozenset[str]:
        """Go on with what a run that was killed has left: ingest what was fetched whole, and let the rest be
        fetched again. Returns the UIDs, in this home, of the studies that were counted.
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
        recovered = {self.names(one.arrival.study_instance_uid).own for one in self._waiting}
        self.ingest()
        return frozenset(recovered)

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
        arrival = Arrival(name, uid, reported=study.expected, purpose=self._purpose)
        held = self._held(study)
        landing = Landing.begin(self._archive.home, arrival)
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
            if self._is_of_one(client, arrival, error):
                return
            raise
        except BaseException as error:
            landing.let_go()
            if isinstance(error, KeyboardInterrupt | InterruptedIngestError):
                with suppress(CatalogError):  # then it counts as one that was killed
                    ledger.hand_back(name, [uid])
            raise
        self._refused = 0
        self._note(landing, fetched, held)

    def _is_of_one(self, client: PacsClient, arrival: Arrival, error: PacsError) -> bool:
        """Note that an attempt ended with the line. It counts where the study may be the cause, as where the
        PACS goes on to answer; True if others can be asked for at once.
        """
        name, ledger, uid = self.connection.name, self._archive.index.pacs_studies, arrival.study_instance_uid
        is_refused = error.code == "pacs-refused" and not error.may_pass and self._refused < _MOST_REFUSED
        goes_on = (is_refused or error.code == "pacs-unreachable") and _answers(client)
        is_of_one = is_refused and goes_on
        if is_of_one or error.code == "pacs-timeout":
            failure = {"code": error.code, "message": str(error)}
            outcome = self._outcome(replace(arrival, failure=failure, may_pass=True))
            ledger.settle(name, [outcome])
            if is_of_one:
                self._refused += 1
                self._tally.add(outcome, 0, hides_uids=self._key.phi == "strict")
        elif goes_on:
            ledger.resume(name, [uid])
        else:
            ledger.hand_back(name, [uid])
        return is_of_one

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
        series of which files are gone is rendered from all of them.
        """
        may_add = self._purpose == "sync" and study.received and self.connection.keep_files
        own = self.names(study.study_instance_uid).own
        if not may_add or self._key.phi == "strict" or files_state(self._archive, own)[0] != "here":
            return set()
        return {instance.sop_instance_uid for _, instance in self._archive.index.instances.of_study(own)}

    def _note(self, landing: Landing, fetched: Fetched, held: Collection[str]) -> None:
        problem = fetched.problem
        if problem is None and not fetched.listed:
            problem = PacsError(
                "pacs-no-study",
                f"The PACS {self.connection.name} lists no instance of this study: check its UID, and "
                "whether the study is still there.",
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
            self.require_key()
            landings = self._without_forgotten(landings)
            known = self._patients.known(landings)
            used: dict[Path, frozenset[str]] = {}
            with_files = {landing.folder.name: landing for landing in landings if landing.files()}
            if with_files:
                folders = {name: landing.folder for name, landing in with_files.items()}
                ingested = ingest_apart(self._archive, folders, on_progress=self._on_progress)
                self._tally.add_reports([one.report for one in ingested.values()])
                used = {folders[name]: one.used for name, one in ingested.items()}
                discard_refused(self._archive.index, used)
            self._settle(landings, known)
            for landing in landings:
                if landing.arrival.purpose == "fetch":
                    note_fetched(landing.folder, self.name)
                elif not self.connection.keep_files:
                    drop_folder(self._archive, landing.folder)
                elif landing.arrival.study_instance_uid in known:
                    own = self._key.uid(landing.arrival.study_instance_uid)
                    drop_copies(self._archive, used.get(landing.folder, ()), own)
        except BaseException:
            for landing in landings:
                landing.let_go()
            raise
        for landing in landings:
            landing.keep()

    def _without_forgotten(self, landings: Sequence[Landing]) -> list[Landing]:
        """Those of studies that were not forgotten, nor their patients, while they waited and were fetched;
        the others are deleted.
        """
        names = [self.names(one.arrival.study_instance_uid) for one in landings]
        states = self._archive.index.pacs_studies.states(self.connection.name, names)
        theirs = self._patients.gone_before(landings, states)
        kept = []
        for landing in landings:
            uid = landing.arrival.study_instance_uid
            state = states.get(uid)
            if uid in theirs:
                self._drop(landing)
                self._forget(uid)
            elif state is not None and state.status == "forgotten":
                self._drop(landing)
            else:
                kept.append(landing)
        return kept

    def _forget(self, uid: str) -> None:
        own = self.names(uid).own
        try:
            self._archive.index.remove_study(own, PacsNames(self._key.forgotten_uid, uid))
        except CatalogError as error:
            if error.code != "unknown-study":
                raise

    def _settle(self, landings: Sequence[Landing], known: Collection[str]) -> None:
        try:
            self.require_key()
        except CatalogError:
            # It is in the index by now, under the new key, by which those are known who were forgotten since.
            self._take_key()
            self._settle(landings, known)
            raise
        name, ledger = self.connection.name, self._archive.index.pacs_studies
        outcomes = [self._outcome(landing.arrival) for landing in landings]
        ledger.settle(name, outcomes)
        states = ledger.states(name, [one.names for one in outcomes])
        gone = self._patients.gone_since(states, known)
        for uid, state in states.items():
            if state.status == "forgotten" or uid in gone:
                self._forget(uid)  # it was, while it was ingested
        for landing, outcome in zip(landings, outcomes, strict=True):
            self._tally.add(outcome, landing.arrival.came, hides_uids=self._key.phi != "keep")

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


def _answers(client: PacsClient) -> bool:
    try:
        client.echo()
    except PacsError:
        return False
    return True


def _incomplete(name: str, received: int, listed: int) -> dict[str, str]:
    message = (
        f"The PACS {name} lists {listed} instances of this study and gave {received}: it is asked again "
        f"later, or by `pacs retry {name}` and a pull."
    )
    return {"code": "pacs-incomplete", "message": message}
