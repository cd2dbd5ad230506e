"""A sync that is interrupted at random ends with exactly the studies of its PACS, each once.

`make sync-test` runs the long form in a network of its own, which is then truly cut.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from medsiglip.api.archive.archive import Archive
from tests.api.archive.pacs.counting_proxy import CountingProxy
from tests.api.archive.pacs.orthanc import Orthanc, needs_orthanc
from tests.api.archive.pacs.small_studies import SmallStudy
from tests.api.service_processes import Started

pytestmark = needs_orthanc
PROGRAM = (sys.executable, "-m", "tests.api.archive.pacs.quick_program")
MOST_INSTANCES = 3
OWN_NETWORK = "MEDSIGLIP_OWN_NETWORK"
_STUDY = re.compile(r"/dicom-web/studies/([0-9.]+)$")


class Campaign:
    """An Orthanc behind a proxy, with `count` studies, and a home that follows it at a `rate`."""

    def __init__(self, folder: Path, orthanc: Orthanc, count: int, rate: float, *, by_changes: bool) -> None:
        self.home = folder / "home"
        self.orthanc = orthanc
        self.rate = rate
        self.studies = {one.uid: one for one in (SmallStudy(n, 1 + n % MOST_INSTANCES) for n in range(count))}
        for study in self.studies.values():
            for file in study.files():
                orthanc.http.post("/instances", content=file).raise_for_status()
        self.proxy = CountingProxy(orthanc.http_port)
        root = f"http://127.0.0.1:{self.proxy.port}"
        with Archive(self.home) as archive:
            archive.add_pacs(
                "main",
                url=f"{root}/dicom-web",
                changes_url=root if by_changes else None,
                rate=rate,
                timeout_seconds=3,
            )

    def start(self) -> Started:
        return Started(self.home, ("pacs", "sync", "main"), program=PROGRAM)

    def kill_sync(self, sync: Started) -> None:
        sync.end()

    def kill_orthanc(self, _sync: Started) -> None:
        self.orthanc.kill()
        self.orthanc.start()

    def cut(self, _sync: Started) -> None:
        """The network is away for longer than a request may take."""
        if os.environ.get(OWN_NETWORK) != "1":
            with self.proxy.cut():
                time.sleep(1.0)
            return
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        try:
            time.sleep(4.0)
        finally:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    def interrupt(self, interruptions: int, seed: int) -> Counter[str]:
        """Interrupt syncs one after the other, each when a random number of studies has been fetched; what
        was done, by its name.
        """
        chosen, done = random.Random(seed), Counter[str]()
        ways: Sequence[Callable[[Started], None]] = (self.kill_sync, self.kill_orthanc, self.cut)
        sync = self.start()
        try:
            for number, fetched in enumerate(
                sorted(chosen.sample(range(1, len(self.studies) - 1), interruptions))
            ):
                sync = self._reach(sync, fetched)
                time.sleep(chosen.uniform(0.0, 0.5))
                way = ways[number % len(ways)]
                done[way.__name__] += sync.process.poll() is None
                way(sync)
                if way == self.kill_sync:
                    sync = self.start()
        finally:
            if sync.process.stdout is not None and not sync.process.stdout.closed:
                sync.end()
        return done

    def _reach(self, sync: Started, fetched: int) -> Started:
        """Wait until so many studies were fetched, with a new sync where one has given up."""
        deadline = time.monotonic() + 600
        while self.fetches().total() < fetched:
            assert time.monotonic() < deadline
            if sync.process.poll() is not None:
                sync.end()
                sync = self.start()
            time.sleep(0.02)
        return sync

    def finish(self) -> None:
        """Sync undisturbed until nothing waits: a study whose fetch was cut off is due again only later."""
        deadline = time.monotonic() + 900
        answer: dict[str, Any] = {}
        while time.monotonic() < deadline:
            last = self.start()
            answer = last.answer()
            last.end()
            assert answer.get("failed", ()) == [], answer
            if answer["waiting"] == 0:
                return
            time.sleep(2.0)
        raise AssertionError(answer)

    def check(self) -> None:
        expected = Counter(sop for study in self.studies.values() for sop in study.sops())
        engine = create_engine(f"sqlite:///{self.home / 'catalog.db'}")
        with engine.connect() as connection:
            held = Counter(connection.execute(text("SELECT sop_instance_uid FROM instances")).scalars())
            studies = Counter(connection.execute(text("SELECT study_instance_uid FROM studies")).scalars())
            found = connection.execute(text("SELECT study_instance_uid, status FROM pacs_studies"))
            rows = {row.study_instance_uid: row.status for row in found}
            images = connection.execute(text("SELECT count(*) FROM images")).scalar_one()
        engine.dispose()
        assert held == expected
        assert studies == Counter(list(self.studies))
        assert rows == dict.fromkeys(self.studies, "here")
        assert images == expected.total()
        with Archive(self.home) as archive:
            verified = archive.verify()
            assert verified.ok, verified.problems
        received = self.home / "received"
        assert sum(path.is_file() for path in received.rglob("*.dcm")) == expected.total()
        assert [path.name for path in received.iterdir() if path.is_file()] == []
        # Counted before the PACS: in no ten seconds more than the rate, and one study.
        most = self.proxy.most_within(10.0, self._operations)
        assert most <= 10 * self.rate + MOST_INSTANCES + 1, most

    def fetches(self) -> Counter[str]:
        """How often each study was asked for."""
        found = (_STUDY.search(one.path.partition("?")[0]) for one in self.proxy.requests)
        return Counter(one[1] for one in found if one is not None)

    def _operations(self, path: str) -> int:
        """A request is one operation, or as many as the instances that it asks for."""
        study = _STUDY.search(path.partition("?")[0])
        return 1 if study is None else self.studies[study[1]].instances


def _run(folder: Path, count: int, rate: float, interruptions: int) -> Campaign:
    with Orthanc(folder / "orthanc") as orthanc:
        campaign = Campaign(folder, orthanc, count, rate, by_changes=count % 2 == 0)
        try:
            done = campaign.interrupt(interruptions, seed=count)
            campaign.finish()
            campaign.check()
        finally:
            campaign.proxy.close()
    print(
        dict(done),
        "requests",
        len(campaign.proxy.requests),
        "most in 10 s",
        campaign.proxy.most_within(10.0, campaign._operations),
        "of",
        10 * rate,
    )
    return campaign


@pytest.mark.long
def test_a_sync_that_is_interrupted_three_times_brings_each_study_once(tmp_path: Path) -> None:
    campaign = _run(tmp_path, 40, 60.0, 3)
    # Each interruption costs at most the study that was being fetched.
    assert sum(count - 1 for count in campaign.fetches().values()) <= 2 * 3


@pytest.mark.campaign
def test_two_thousand_studies_and_twenty_interruptions(tmp_path: Path) -> None:
    campaign = _run(tmp_path, 2000, 25.0, 20)
    assert sum(count - 1 for count in campaign.fetches().values()) <= 2 * 20
