"""Jobs that name files whose names are not UTF-8, whatever is looked for in their parameters then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.schema import from_stored, to_stored
from tests.index.conftest import Catalogue

PATHS = ["/data/caf\udce9", "/data/\udcff\udc80", "/data/\uef80", "\uef00x", "/data/łukasz", "plain"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_stored_as_text_and_read_as_it_was(path: str) -> None:
    to_stored(path).encode()
    assert from_stored(to_stored(path)) == path


def test_a_job_with_such_a_path_holds_up_nothing(index: CaseIndex) -> None:
    queue = index.jobs
    parameters: dict[str, Any] = {"paths": PATHS, "by": {path: [path] for path in PATHS}, "files": 1}
    job = queue.submit("ingest", {**parameters, "received": PATHS[0]}, key_id="pacs")
    assert queue.get(job.id).parameters == {**parameters, "received": PATHS[0]}
    assert queue.received() == {PATHS[0]}
    claimed = queue.claim("worker", ["ingest"], small_only=True)
    assert claimed is not None
    assert claimed.id == job.id


def test_a_job_of_an_earlier_version_is_rewritten(index: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    parameters = {"paths": PATHS[:1], "received": PATHS[0], "files": 1}
    job = index.jobs.submit("ingest", parameters, key_id="pacs")
    index.close()
    engine = create_engine(catalogue.url_in(home))
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET parameters = :raw"), {"raw": json.dumps(parameters)})
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    engine.dispose()
    with catalogue.open(home) as again:
        assert again.jobs.received() == {PATHS[0]}
        assert again.jobs.get(job.id).parameters == parameters
