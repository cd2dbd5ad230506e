"""What a killed server leaves of uploads goes at the next start; nothing else does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from api.received import sweep
from index.case_index import CaseIndex

DAY = 86_400.0


@pytest.mark.parametrize("moved", [False, True])
def test_only_old_uploads_without_a_job_are_deleted(tmp_path: Path, moved: bool) -> None:
    home = tmp_path / "home"
    with CaseIndex.open(home) as index:
        for name, age in (("lost", 3 * DAY), ("waiting", 3 * DAY), ("arriving", 60.0)):
            folder = home / "received" / name
            folder.mkdir(parents=True)
            (folder / "000000.dcm").write_bytes(b"x")
            os.utime(folder, (time.time() - age,) * 2)
        picture = home / "received" / "abc.input.0.png"
        picture.write_bytes(b"x")
        os.utime(picture, (time.time() - 3 * DAY,) * 2)
        waiting = str(home / "received" / "waiting")
        index.jobs.submit("ingest", {"paths": [waiting], "received": waiting})
        index.jobs.submit("ingest", {"paths": ["/data"], "received": None})
    if moved:
        home = home.rename(tmp_path / "elsewhere")
    with CaseIndex.open(home) as index:
        sweep(index, DAY)
    assert sorted(one.name for one in (home / "received").iterdir()) == ["arriving", "waiting"]
    assert (home / "received" / "waiting" / "000000.dcm").exists()


def test_a_home_without_uploads_is_left_as_it_is(tmp_path: Path) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        sweep(index, 0.0)
        assert not (tmp_path / "home" / "received").exists()
