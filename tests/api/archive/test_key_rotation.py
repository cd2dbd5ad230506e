"""A home whose secret was rotated: nothing of it names a patient as before, and all patients are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import JSON, String, create_engine, select

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.schema import metadata
from tests.api.conftest import Home, Phantoms


def named_in(home: Path, words: set[str]) -> set[str]:
    """`table.column` of every text or JSON in the catalogue that holds one of the words."""
    engine, found = create_engine(f"sqlite:///{home / 'catalog.db'}"), set()
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            columns = [one for one in table.c if isinstance(one.type, String | JSON)]
            for row in connection.execute(select(*columns)) if columns else ():
                for column, value in zip(columns, row, strict=True):
                    text = value if isinstance(value, str) else json.dumps(value)
                    if any(word in text for word in words):
                        found.add(f"{table.name}.{column.name}")
    engine.dispose()
    return found


def patients_of(home: Home) -> dict[str, str]:
    """The patient key of each study."""
    listed = home.run("study", "list").json["studies"]
    return {one["study_instance_uid"]: one["patient_key"] for one in listed}


def written(patient_key: str) -> str:
    """A query of an address that names a patient in every way, and a job whose id only looks like a key."""
    named = (f"{sign}{patient_key}" for sign in ("patient_key%3D", "patient_key%3d", "%22", "="))
    return "&".join(["where=x", *named, f"job={'0' * 32}", f"{'a' * 32}{'b' * 32}"])


def test_everything_that_names_a_patient_gets_the_later_key(own_home: Home) -> None:
    before = patients_of(own_home)
    keys = set(before.values())
    patient = next(iter(keys))
    assert own_home.run("probe", "train", "mine", "--label", "melanoma").code == 0
    with CaseIndex.open(own_home.path) as index:
        index.views.put("owner", "mine", "cases", written(patient))
    places = named_in(own_home.path, keys)
    assert {"patients.patient_key", "probes.summary", "saved_views.query"} <= places
    done = own_home.run("keys", "rotate-secret").json
    assert (done["patients"], done["secrets"]) == (len(keys), 2)
    assert named_in(own_home.path, keys) <= {"audit_events.details"}
    after = patients_of(own_home)
    assert set(after) == set(before)
    assert keys.isdisjoint(after.values())
    assert len({(before[uid], after[uid]) for uid in before}) == len(keys) == len(set(after.values()))
    for file in own_home.path.rglob("*"):
        if file.is_file() and not file.name.startswith("catalog.db"):
            content = file.read_bytes()
            assert not [one for one in keys if one.encode() in content], file
    own_home.run("keys", "rotate-secret")
    with CaseIndex.open(own_home.path) as index:
        [view] = index.views.listed("owner")
        probe = index.probes.find("mine")
    now = patients_of(own_home)
    uid = next(uid for uid, key in before.items() if key == patient)
    assert view.query == written(now[uid])
    assert probe is not None
    assert set(probe.summary["patients"]) <= set(now.values())
    last = own_home.run("audit", "list", "--last", 1).json["events"][-1]
    assert (last["action"], last["details"]["secrets"]) == ("rotate-secret", 3)
    assert own_home.run("audit", "verify").json["ok"]


def test_the_same_patient_is_found_forgotten_and_ingested_after_rotations(
    own_home: Home, phantoms: Phantoms
) -> None:
    before = patients_of(own_home)
    for _ in range(2):
        own_home.run("keys", "rotate-secret")
    rotated = patients_of(own_home)
    again = own_home.run("ingest", phantoms.dicom)
    assert again.code == 0
    assert patients_of(own_home) == rotated
    assert own_home.run("index", "verify").json["ok"]
    gone = next(iter(rotated.values()))
    same = {uid for uid, key in rotated.items() if key == gone}
    assert own_home.run("forget", "--patient", gone).code == 0
    assert set(patients_of(own_home)) == set(before) - same
    own_home.run("ingest", phantoms.dicom)
    assert patients_of(own_home) == rotated


@pytest.mark.parametrize("phi", ["strict"])
def test_a_strict_home_says_why_not(tmp_path: Path, phantoms: Phantoms, phi: str) -> None:
    home = Home(tmp_path / "home", {})
    study = next(one for one in sorted(phantoms.dicom.rglob("*.dcm")))
    assert home.run("ingest", study, "--phi", phi).code == 0
    refused = home.run("keys", "rotate-secret")
    assert refused.code != 0
    assert "strict-home" in refused.out + refused.err
