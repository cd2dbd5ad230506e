"""Additions beside each other in one process."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.vectors import unit_length
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

SECONDS = 60
SCALED = "medsiglip.index.storage.insertion.unit_length"


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[list[CaseIndex]]:
    with ExitStack() as stack:
        found = [stack.enter_context(CaseIndex.open(tmp_path / name)) for name in ("a", "b")]
        for one in found:
            one.activate(SPACE)
        yield found


@pytest.mark.parametrize("was_on", [True, False])
def test_the_last_of_several_additions_puts_garbage_collection_on_again(
    homes: list[CaseIndex], monkeypatch: pytest.MonkeyPatch, was_on: bool
) -> None:
    together, first_is_done = threading.Barrier(2), threading.Event()
    states = []

    def waiting(vectors: Any) -> Any:
        if together.wait(SECONDS) == 0:
            assert first_is_done.wait(SECONDS)
            states.append(gc.isenabled())
        return unit_length(vectors)

    def add(index: CaseIndex) -> None:
        index.add([make_bundle(1, 2)], unit_vectors(2))
        first_is_done.set()

    monkeypatch.setattr(SCALED, waiting)
    held = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(add, one) for one in homes]:
                done.result(SECONDS)
        assert states == [False]
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if held else gc.disable)()


def test_an_addition_that_fails_puts_garbage_collection_on_again(
    homes: list[CaseIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> Any:
        raise OSError("as if the disk had failed")

    assert gc.isenabled()
    monkeypatch.setattr(SCALED, broken)
    with pytest.raises(OSError, match="as if"):
        homes[0].add([make_bundle(1, 2)], unit_vectors(2))
    assert gc.isenabled()
