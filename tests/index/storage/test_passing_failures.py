"""What cannot be read at the moment is not passed over: nothing counts as forgotten or merged then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.folder_store import FolderStore
from medsiglip.index.records import Compaction
from medsiglip.index.storage.maps.map_file import MapPoints
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors

pytestmark = sqlite_only


@contextmanager
def failing(code: str, folder: str) -> Iterator[None]:
    """Reading the objects of a folder fails so, as where they lie in a bucket that is away."""
    opened = FolderStore.open_local

    def open_local(self: FolderStore, name: str) -> Path:
        if name.startswith(f"{folder}/"):
            raise CatalogError(code, "It is away; try again.")
        return opened(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderStore, "open_local", open_local)
        with pytest.raises(CatalogError) as caught:
            yield
    assert caught.value.code == code


def put_map(index: CaseIndex) -> None:
    rows = np.unique(index.instances.rows_of_images("study", index.table("image").image_ids.tolist()))
    points = np.zeros(len(rows), np.float32)
    near = np.zeros((len(rows), 5), np.int64)
    made = MapPoints(rows, np.zeros((len(rows), 2), np.float32), points, points, near, near * np.float32(1))
    index.maps.put(SPACE.name, "study", made, {"newest": index.maps.newest_image()})


@pytest.mark.parametrize("folder", ["vectors", "maps"])
@pytest.mark.parametrize("code", ["object-store-unreachable", "object-store-refused", "disk-full"])
def test_a_study_is_not_forgotten_while_its_files_cannot_be_read(
    index: CaseIndex, home: Path, code: str, folder: str
) -> None:
    vectors = unit_vectors(4)
    index.add([make_bundle(1, 2), make_bundle(2, 2)], vectors)
    put_map(index)
    secret = vectors[0].tobytes()
    with failing(code, folder):
        index.remove_study("2.25.1")
    assert [one.study_instance_uid for one in index.studies()] == ["2.25.1", "2.25.2"]
    assert index.verify().problems == ()
    index.remove_study("2.25.1")
    assert not [path for path in home.glob("*/*/*.parquet") if secret in path.read_bytes()]
    assert len(index.maps.points(found).row_ids if (found := index.maps.find("study", None)) else ()) == 1
    assert index.verify().problems == ()


def test_small_shards_stay_while_they_cannot_be_read(index: CaseIndex) -> None:
    for study in range(3):
        index.add([make_bundle(study, 2)], unit_vectors(2, study))
    with failing("object-store-unreachable", "vectors"):
        index.compact()
    assert index.compact() == Compaction(3, 1)


def test_a_series_that_comes_again_is_not_taken_for_another(index: CaseIndex) -> None:
    bundle = make_bundle(1, 2)
    first = index.add([bundle], unit_vectors(2))
    again = replace(bundle, replace_series=True)
    with failing("object-store-unreachable", "vectors"):
        index.add([again], unit_vectors(2))
    assert index.add([again], unit_vectors(2)) == first
