"""A home whose vectors are on a device: searched, changed and described as any other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import Hit
from medsiglip.index.search.kinds.gpu import gpu_index, residence
from medsiglip.index.search.kinds.gpu.device import ProcessorDevice, find_device
from medsiglip.index.search.kinds.gpu.gpu_index import GpuIndex
from tests.index.conftest import Archive
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

STUDIES = 40
QUERIES = unit_vectors(6, 999)


class NamedDevice(ProcessorDevice):
    """Under another name than the processor, which `index info` shows."""

    name = "cuda:0"


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_device()[0] is None:
        monkeypatch.setattr(gpu_index, "find_device", lambda: (NamedDevice(), ""))
    monkeypatch.setattr(gpu_index, "LEAST", 20)
    monkeypatch.setattr(gpu_index, "_GATHERED", 4)
    monkeypatch.setattr(residence, "APPENDED", 5)


def add(index: CaseIndex, studies: range) -> None:
    bundles = [make_bundle(study, 3, patient=f"patient-{study % 10}") for study in studies]
    index.add(bundles, np.concatenate([unit_vectors(3, study) for study in studies]))


def ids(found: list[list[Hit]]) -> list[list[tuple[int, float]]]:
    return [[(hit.image_id, hit.score) for hit in hits] for hits in found]


def on_device(index: CaseIndex) -> GpuIndex:
    with index._current.loaded() as loaded:
        found = loaded.index
    assert isinstance(found, GpuIndex)
    found.residence.settle()
    return found


@pytest.mark.long(every=2)
def test_a_home_answers_as_one_on_the_processor(make_archive: Callable[[str], Archive]) -> None:
    fast, plain = make_archive("fast"), make_archive("plain")
    with fast.open(index_kind="gpu-flat") as index, plain.open(index_kind="flat") as expected:
        for one in (index, expected):
            one.activate(SPACE)
            add(one, range(STUDIES))
        for turn in range(4):
            for options in (
                {},
                {"level": "study"},
                {"level": "series", "k": 3},
                {"where": ["patient_key!=patient-3"]},
                {"where": ["patient_key=patient-3"]},
                {"exclude_patients": ["patient-1", None, "patient-2"] * 2},
            ):
                found, right = index.search(QUERIES, **options), expected.search(QUERIES, **options)
                assert ids(found) == ids(right)
            on_device(index)
            if turn == 0:
                for one in (index, expected):
                    add(one, range(STUDIES, STUDIES + 2))
            if turn == 1:
                for one in (index, expected):
                    one.remove_patient("patient-4")
            if turn == 2:
                for one in (index, expected):
                    one.rebuild()
        held = on_device(index)
        assert held.residence.rows is not None, held.device_reason
        info = index.info()
        assert info.search is not None
        assert (info.search.kind, info.search.device, info.faiss.device) == ("gpu-flat", "cuda:0", "cuda:0")
        assert index.verify().ok
    with fast.open(index_kind="bounded") as again:
        assert again.info().faiss.ntotal == (STUDIES + 2 - 4) * 3
        assert len(again.search(QUERIES)) == len(QUERIES)


def test_info_says_why_a_home_is_not_on_a_device(
    make_archive: Callable[[str], Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_index, "find_device", lambda: (None, "faiss sees no GPU"))
    with make_archive("home").open(index_kind="gpu-flat") as index:
        index.activate(SPACE)
        add(index, range(STUDIES))
        search = index.info().search
        assert search is not None
        assert (search.kind, search.device) == ("gpu-flat", "cpu")
        assert "faiss sees no GPU" in search.why
        assert np.isclose(index.search(unit_vectors(1, 7)[:1], k=1)[0][0].score, 1.0)
