"""What is announced while a job waits is that job; what is announced later is another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service import announced_jobs


def announce(index: CaseIndex, about: str = "main/1.2", key_id: str | None = "pacs") -> str:
    return index.announced_jobs.submit("pacs-pull", {"study_instance_uids": [about]}, about, key_id)


def test_one_job_waits_for_a_study(index: CaseIndex) -> None:
    first = announce(index)
    assert announce(index) == first
    others = {announce(index, "main/1.3"), announce(index, key_id="another"), announce(index, key_id=None)}
    assert len({first, *others}) == 4
    assert index.jobs.claim("worker", ["pacs-pull"]) is None  # more of the same may come
    with index._database.write_service_tables() as sql:
        sql.execute(update(jobs).values(not_before=datetime.now(UTC) - timedelta(seconds=1)))
    begun = index.jobs.claim("worker", ["pacs-pull"])
    assert begun is not None
    assert (begun.id, begun.key_id, begun.parameters) == (
        first,
        "pacs",
        {"study_instance_uids": ["main/1.2"]},
    )
    second = announce(index)
    assert second != first
    assert index.jobs.finish(begun, {})
    assert announce(index) == second
    assert index.jobs.get(first).status == "done"


def test_a_job_begins_once_announcements_have_come(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announced_jobs, "PAUSE_SECONDS", 0.0)
    waiting = announce(index)
    begun = index.jobs.claim("worker", ["pacs-pull"])
    assert begun is not None
    assert begun.id == waiting


def test_a_forgotten_study_is_in_no_job(index: CaseIndex) -> None:
    from medsiglip.index.storage.deletion import PacsNames
    from tests.index.index_cases import make_bundle, unit_vectors

    bundle = make_bundle(0, 1, patient="patient")
    index.add([bundle], unit_vectors(1))
    uid = bundle.study.study_instance_uid
    job_id = announce(index, uid)
    index.remove_study(uid, PacsNames(lambda own: f"2.25.{len(own)}"))
    left = index.jobs.get(job_id)
    assert left.parameters == {"study_instance_uids": ["[forgotten]"]}
    with index._database.read() as sql:
        assert uid not in str(sql.execute(jobs.select()).all())
