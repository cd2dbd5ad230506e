"""Studies on their way from a PACS, of patients who were forgotten as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.archive.pacs.landing import Landing
    from medsiglip.index.pacs.study_ledger import LedgerStudy
    from medsiglip.ingest.privacy.deidentify import SecretKey

# Why a study is brought in that somebody wants.
_ASKED = ("pull", "fetch")


class ForgottenPatients:
    """A PACS need not say in its answers whose a study is, and what waits was found before: so the patient is
    looked for in what came. Studies are named by the UIDs that their PACS gives them.
    """

    def __init__(self, archive: OpenedArchive, key: SecretKey) -> None:
        self._archive = archive
        self._key = key

    def known(self, landings: Sequence[Landing]) -> set[str]:
        """The studies of which something is in the index: there, somebody has asked for them again."""
        own = {one.arrival.study_instance_uid: one for one in landings}
        there = self._archive.index.patients_of([self._key.uid(uid) for uid in own])
        return {uid for uid in own if self._key.uid(uid) in there}

    def gone_before(self, landings: Sequence[Landing], states: Mapping[str, LedgerStudy]) -> set[str]:
        """Those of studies that nobody has asked for, or not since their patient was forgotten."""
        known = self.known(landings)
        new = {
            one.arrival.study_instance_uid: one
            for one in landings
            if one.arrival.study_instance_uid not in known
        }
        kept = {uid: _kept_of_patient(self._key, one.folder) for uid, one in new.items()}
        gone = set()
        for uid, moment in self._forgotten_at(kept).items():
            is_asked, state = new[uid].arrival.purpose in _ASKED, states.get(uid)
            if not is_asked or state is None or moment > state.found_at:
                gone.add(uid)
        return gone

    def gone_since(self, states: Mapping[str, LedgerStudy], known: Collection[str]) -> set[str]:
        """Those of studies, new in the index, whose patient was forgotten while they were ingested."""
        own = {uid: self._key.uid(uid) for uid in states if uid not in known}
        patients = self._archive.index.patients_of(list(own.values()))
        kept = {uid: [self._key.forgotten_uid(patients[one])] for uid, one in own.items() if one in patients}
        return {uid for uid, moment in self._forgotten_at(kept).items() if moment > states[uid].found_at}

    def _forgotten_at(self, kept: Mapping[str, Collection[str]]) -> dict[str, datetime]:
        """When the patient of a study was forgotten; `kept` is what a ledger would have of them, by study."""
        names = {name for several in kept.values() for name in several}
        moments = self._archive.index.forgotten_names.forgotten_at(names) if names else {}
        found = {uid: [moments[name] for name in several if name in moments] for uid, several in kept.items()}
        return {uid: max(several) for uid, several in found.items() if several}


def _kept_of_patient(key: SecretKey, folder: Path) -> tuple[str, ...]:
    """What would be kept of the patient of the files in a folder, by the issuer that they name, and without;
    nothing where the first header that can be read names none.
    """
    from medsiglip.ingest.pacs.web.stored_header import elements_of

    for file in sorted(folder.glob("*.dcm")):
        elements = elements_of(file)
        if elements is not None:
            issuer, patient = (_text(elements.get(name)) for name in ("IssuerOfPatientID", "PatientID"))
            issuers = sorted({issuer, ""}) if patient else []
            return tuple(mark for one in issuers for mark in key.forgotten_patient(one, patient))
    return ()


def _text(value: str | int | None) -> str:
    return str("" if value is None else value).replace("\0", "").strip()
