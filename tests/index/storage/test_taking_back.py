"""What a failed transaction wrote is deleted, unless its commit succeeded after all."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.storage import crash_recovery
from medsiglip.index.storage.shards import new_files
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, unit_vectors

WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


class LostError(Exception):
    """The answer to a commit does not come."""


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
@pytest.mark.parametrize("succeeds", [True, False])
def test_the_server_may_still_be_at_a_commit_whose_answer_was_lost(
    index: CaseIndex, catalogue: Catalogue, home: Path, succeeds: bool
) -> None:
    engine = create_engine(catalogue.url_in(home))
    committing, watching = engine.connect(), engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    place = home / "vectors" / SPACE.name

    def end() -> None:
        """As the server does, once the other connection waits for it, or has not waited."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(place.iterdir()):
            if watching.execute(WAITING).scalar_one():
                break
            time.sleep(0.01)
        (committing.commit if succeeds else committing.rollback)()

    server = threading.Thread(target=end)

    def lose() -> None:
        with new_files(index._database) as files:
            tokens.append(files.token)
            files.write_shard(SPACE.name, np.arange(2), unit_vectors(2), "float32")
            assert crash_recovery.finish(committing, files.token)
            server.start()
            raise LostError

    tokens: list[str] = []
    with pytest.raises(LostError):
        lose()
    server.join()
    assert len(list(place.iterdir())) == succeeds
    with index._database.write_service_tables() as connection:
        assert not crash_recovery.finish(connection, tokens[0])
    for connection in (committing, watching):
        connection.close()
    engine.dispose()
