"""The database's clock, which a test may set."""

from __future__ import annotations

from datetime import timedelta

import pytest

from medsiglip.index.catalogue.database import now_of


class Wall:
    """How far the clock was set."""

    offset = timedelta(0)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    clock = Wall()
    for module in ("jobs", "waiting_uploads"):
        monkeypatch.setattr(
            f"medsiglip.index.service.{module}.now_of", lambda connection: now_of(connection) + clock.offset
        )
    return clock
