"""After `forget` no byte of a home says anything of a patient: not the UIDs, not a vector in any form, while
other processes had the snapshot mapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.search.kinds.bounded import LEAST
from medsiglip.index.search.snapshots import Snapshot
from medsiglip.index.search.space_loader import SpaceLoader
from medsiglip.index.vectors import unit_length
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors

STUDY = 987_654_321
UID = f"2.25.{STUDY}"
IMAGES = 7
WIDE = 128


def wide_vectors(count: int, seed: int) -> NDArray[np.float32]:
    """Directions of which few axes hold most, so that codes pay: float32 [count, 128]."""
    few = np.random.default_rng(0).normal(size=(6, WIDE)).astype(np.float32)
    vectors = unit_vectors(count, seed, 6) @ few + 0.1 * unit_vectors(count, seed, WIDE)
    return unit_length(vectors)


@pytest.fixture
def large(home: Path, catalogue: Catalogue) -> Iterator[CaseIndex]:
    """Enough images for codes, among them one patient's, with reports, previews and a snapshot."""
    with catalogue.open(home) as index:
        index.activate(replace(SPACE, dimension=WIDE))
        for number in range(3):
            index.add([make_bundle(number, LEAST // 3 + 1)], wide_vectors(LEAST // 3 + 1, number))
        secret = make_bundle(STUDY, IMAGES, patient="patient-secret")
        index.add([secret, make_bundle(11, 5)], wide_vectors(IMAGES + 5, 77))
        index.report_texts.put({UID: "A zebrine opacity.", "2.25.1": "No opacity."}, "import")
        index.rebuild(wide_vectors(40, 5))
        (home / "previews").mkdir()
        for image in index.images_of(UID):
            (home / "previews" / f"{image.image_id}.512.png").write_bytes(UID.encode())
        yield index


def secrets_of(index: CaseIndex) -> dict[str, bytes]:
    """What may not be left, by what it is."""
    ids = [image.image_id for image in index.images_of(UID)]
    vectors = index.vectors(ids)
    secrets = {"uid": UID.encode(), "patient": b"patient-secret", "word": b"zebrine"}
    for name, kind in (("float32", "<f4"), ("float16", "<f2"), ("float64", "<f8")):
        secrets |= {f"{name} {n}": row.tobytes() for n, row in enumerate(vectors.astype(kind))}
    with index._current.view() as (loaded, _):
        held = loaded.index.exact.held  # type: ignore[attr-defined]
        places = np.flatnonzero(np.isin(held.ids, ids))
        assert len(places) == IMAGES
        codes = held.codes.take(places)
        assert codes.shape[1] >= 4
    secrets |= {f"code {n}": row.tobytes() for n, row in enumerate(codes)}
    for level in ("series", "study"):
        [mean] = index.table(level, [f"study_instance_uid={UID}"]).vectors
        secrets[f"mean of {level}"] = mean.tobytes()
    return secrets


def found_in(home: Path, catalogue: Catalogue, secrets: dict[str, bytes]) -> set[tuple[str, str]]:
    """Which secrets are in which files of the home, or in the rows of the catalogue."""
    places = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    places["rows"] = catalogue.content(home)
    return {
        (name, place) for name, one in secrets.items() for place, content in places.items() if one in content
    }


@pytest.mark.long(every=2)
def test_nothing_is_left_while_another_process_has_the_snapshot_mapped(
    large: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    secrets = secrets_of(large)
    with catalogue.open(home) as server:
        assert server.search(wide_vectors(1, 77), k=3, level="study")[0]
        before = found_in(home, catalogue, secrets)
        assert {name for name, _ in before} >= secrets.keys() - {
            name for name in secrets if name.startswith(("float16", "float64"))
        }
        assert large.remove_patient("patient-secret").images == IMAGES
        assert found_in(home, catalogue, secrets) == set()
        [hits] = server.search(wide_vectors(1, 77), k=5)
        assert UID not in {hit.study_instance_uid for hit in hits}
    # The other process has written a snapshot of its own, if it wanted to.
    assert found_in(home, catalogue, secrets) == set()
    large.rebuild()
    large.close()
    assert list((home / "faiss").glob("*.vectors"))
    assert found_in(home, catalogue, secrets) == set()
    with catalogue.open(home) as again:
        assert again.verify(deep=True).problems == ()


def without_snapshot(home: Path, catalogue: Catalogue) -> CaseIndex:
    """Another process's index with the vectors in memory, which wants to write a snapshot when it ends."""
    for path in (home / "faiss").iterdir():
        path.unlink()
    server = catalogue.open(home)
    server.search(wide_vectors(1, 77), k=3)
    return server


@pytest.mark.long
@sqlite_only
def test_a_process_that_saves_what_it_held_before_leaves_nothing(
    large: CaseIndex, home: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = secrets_of(large)
    server = without_snapshot(home, catalogue)
    saved: list[bool] = []
    save = Snapshot.save
    monkeypatch.setattr(Snapshot, "save", lambda *given: saved.append(save(*given) is None))
    large.remove_study(UID)
    server.close()
    assert saved == [True]
    assert found_in(home, catalogue, secrets) == set()


@pytest.mark.long
@sqlite_only
def test_a_snapshot_that_was_replaced_at_once_leaves_nothing(
    large: CaseIndex, home: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes write one: the former after a deletion that it does not know of, the latter after it."""
    secrets = secrets_of(large)
    server = without_snapshot(home, catalogue)
    large.remove_study(UID)
    large.rebuild()
    description = home / "faiss" / f"{replace(SPACE, dimension=WIDE).name}.json"
    newer, save = description.read_bytes(), Snapshot.save

    def replaced(*given: Any) -> None:
        save(*given)
        assert found_in(home, catalogue, secrets)
        description.write_bytes(newer)

    monkeypatch.setattr(Snapshot, "save", replaced)
    monkeypatch.setattr(SpaceLoader, "is_outdated", lambda _: False)
    server.close()
    assert found_in(home, catalogue, secrets) == set()


def test_merged_shards_and_vectors_of_float16_leave_nothing(home: Path, catalogue: Catalogue) -> None:
    with catalogue.open(home, vector_dtype="float16") as index:
        index.activate(SPACE)
        index.add([make_bundle(STUDY, IMAGES, patient="patient-secret")], unit_vectors(IMAGES, 77))
        index.add([make_bundle(1, 3)], unit_vectors(3, 1))
        index.compact()
        rounded = unit_vectors(IMAGES, 77).astype(np.float16)
        secrets = {str(n): row.tobytes() for n, row in enumerate(rounded)} | {"uid": UID.encode()}
        assert {name for name, _ in found_in(home, catalogue, secrets)} == secrets.keys()
        index.remove_study(UID)
        assert found_in(home, catalogue, secrets) == set()
