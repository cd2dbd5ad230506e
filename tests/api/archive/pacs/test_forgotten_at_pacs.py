"""What was forgotten stays away, whichever way it came, and by whichever name a ledger has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pacs.ledger import announced
from medsiglip.api.archive.pacs.pulling import AT_ONCE, pull_asked
from medsiglip.api.archive.pacs.syncing import SyncOptions
from medsiglip.ingest.errors import PacsError
from tests.api.archive.pacs.scripted_home import (
    LATE,
    archive,
    held,
    nothing_lies_about,
    open_home,
    pacs,
    states,
)
from tests.api.archive.pacs.scripted_pacs import AWAY, ScriptedPacs
from tests.api.archive.pacs.small_studies import SmallStudy

__all__ = ["archive", "open_home", "pacs"]
URL = "http://127.0.0.1:9/dicom-web"


def patient_of(archive: Archive, study: SmallStudy) -> str:
    [line] = [one for one in archive.studies().studies if one.study_instance_uid == study.uid]
    return line.patient_key


def test_a_study_stays_away_from_every_pacs_however_it_came(
    archive: Archive, pacs: ScriptedPacs, tmp_path: Path
) -> None:
    study = SmallStudy(1, 2, date=LATE)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.dcm").write_bytes(study.file(1))
    archive.ingest([tmp_path / "elsewhere"])
    archive.forget(study=study.uid)
    pacs.add(study)
    archive.add_pacs("other", url=URL)
    assert (archive.pacs_sync("main").here, archive.pacs_sync("other").here) == (0, 0)
    assert held(archive) == set()
    assert archive.pacs_pull("other", [study.uid]).here == 1
    grown = SmallStudy(1, 3, date=LATE)
    pacs.add(grown)
    assert (archive.pacs_sync("main").here, archive.pacs_sync("other").here) == (0, 1)
    assert held(archive) == set(grown.sops())


@pytest.mark.parametrize("by", ["study", "patient"])
def test_a_strict_home_forgets_what_waits_by_the_uid_of_the_pacs(
    open_home: Callable[[], Archive], pacs: ScriptedPacs, tmp_path: Path, by: str
) -> None:
    seed, study = SmallStudy(77), SmallStudy(1, 3, date=LATE)
    (tmp_path / "seed.dcm").write_bytes(seed.file(1))
    pacs.add(study)
    pacs.gone = {study.sop(2)}
    with open_home() as archive:
        archive.ingest([tmp_path / "seed.dcm"], phi="strict")
        [known] = archive.studies().studies
        archive.add_pacs("main", url=URL)
        assert len(archive.pacs_sync("main").incomplete) == 1
        [line] = [one for one in archive.studies().studies if one != known]
        named = line.study_instance_uid if by == "study" else line.patient_key
        archive.forget(**{by: named})
        assert states(archive) == {}
        pacs.gone = set()
        assert archive.index.pacs_studies.retry("main") == 0
        assert (archive.pacs_sync("main").asked, archive.pacs_pull("main").asked) == (0, 0)
        assert len(held(archive)) == 1
    stored = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert study.uid.encode() not in stored


def test_what_waits_of_a_patient_goes_with_the_patient(archive: Archive, pacs: ScriptedPacs) -> None:
    first, second = (SmallStudy(number, date=LATE, patient="A") for number in (1, 2))
    for study in (first, second):
        pacs.add(study)
    pacs.problems[second.uid] = [AWAY]
    with pytest.raises(PacsError):
        archive.pacs_sync("main", SyncOptions(patience=AT_ONCE))
    assert states(archive) == {first.uid: "here", second.uid: "waiting"}
    archive.forget(patient=patient_of(archive, first))
    archive.pacs_sync("main")
    archive.pacs_pull("main")
    assert (held(archive), states(archive)) == (set(), {})
    assert nothing_lies_about(archive)
    archive.pacs_pull("main", [second.uid])
    assert held(archive) == set(second.sops())
    grown = SmallStudy(2, 2, date=LATE, patient="A")
    pacs.add(grown)
    archive.pacs_sync("main")
    assert held(archive) == set(grown.sops())


def test_a_patient_is_forgotten_while_somebody_brings_in_a_study(
    archive: Archive, pacs: ScriptedPacs
) -> None:
    first, second = (SmallStudy(number, patient="A") for number in (1, 2))
    for study in (first, second):
        pacs.add(study)
    archive.pacs_pull("main", [first.uid])
    key = patient_of(archive, first)

    def forget(_uid: str) -> None:
        archive.forget(patient=key)

    pacs.before = forget
    archive.pacs_pull("main", [second.uid])
    assert (held(archive), states(archive)) == (set(), {})
    assert nothing_lies_about(archive)


def test_what_a_killed_run_has_left_goes_at_once(archive: Archive, pacs: ScriptedPacs) -> None:
    first, second = SmallStudy(1), SmallStudy(2)
    for study in (first, second):
        pacs.add(study)
    pacs.problems[second.uid] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        archive.pacs_pull("main", [first.uid, second.uid])
    place = archive.home / "received"
    assert len(list(place.rglob("*.dcm"))) == 1
    archive.forget(study=first.uid)
    assert list(place.rglob("*.dcm")) == []
    archive.pacs_pull("main")
    assert held(archive) == set(second.sops())


def test_what_a_pacs_announces_by_itself_brings_nobody_back(archive: Archive, pacs: ScriptedPacs) -> None:
    study, new = (SmallStudy(number, date=LATE, patient="A") for number in (1, 2))
    other = SmallStudy(3)
    for one in (study, new, other):
        pacs.add(one)
    archive.pacs_pull("main", [study.uid])
    archive.forget(patient=patient_of(archive, study))
    for one in (study, new, other):
        kept = announced(archive, "main", one.uid)
        pull_asked(archive, "main", kept, purpose="waiting")
    assert held(archive) == set(other.sops())
