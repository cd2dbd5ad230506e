"""The nearest of every row, against brute force on the stored vectors."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    for study in range(1, 13):
        bundles = [make_bundle(study, 2, series=series, patient=f"patient-{study}") for series in (0, 1)]
        index.add(bundles, unit_vectors(4, study))
    return index


@pytest.mark.parametrize("level", ["image", "series", "study"])
def test_it_is_that_of_brute_force(filled: CaseIndex, level: Level) -> None:
    steps: list[tuple[int, int]] = []
    graph = filled.neighbour_graph(level, 6, least_others=0, on_step=lambda *step: steps.append(step))
    table = filled.table(level)
    rows = filled.instances.rows_of_images(level, table.image_ids.tolist())
    order = np.argsort(rows)
    np.testing.assert_array_equal(graph.row_ids, rows[order])
    np.testing.assert_allclose(graph.vectors, table.vectors[order], atol=1e-6)
    cosines = graph.vectors.astype(np.float64) @ graph.vectors.T
    np.fill_diagonal(cosines, -np.inf)
    expected = np.argsort(-cosines, axis=1)[:, :6]
    np.testing.assert_array_equal(graph.neighbours, expected)
    np.testing.assert_allclose(graph.cosines, np.take_along_axis(cosines, expected, axis=1), atol=1e-5)
    studies = filled.instances.rows_of_images("study", table.image_ids.tolist())[order]
    np.testing.assert_array_equal(graph.studies, studies)
    assert (graph.space, graph.rows) == (SPACE.name, len(rows))
    assert graph.newest == filled.table("image").image_ids.max()
    assert steps[-1] == (len(rows), len(rows))


def test_of_more_some_are_spread_over_all(filled: CaseIndex) -> None:
    graph = filled.neighbour_graph("image", 3, most=12)
    assert len(graph.row_ids) == 12
    assert graph.rows == 48
    assert set(graph.row_ids.tolist()) <= set(filled.table("image").image_ids.tolist())
    cosines = graph.vectors @ graph.vectors.T
    np.fill_diagonal(cosines, -np.inf)
    np.testing.assert_array_equal(graph.neighbours[:, 0], cosines.argmax(axis=1))


def test_behind_the_slices_of_a_series_stand_some_of_others(index: CaseIndex) -> None:
    direction = unit_vectors(1, 99)
    alike = direction + 0.01 * unit_vectors(40, 5)
    index.add([make_bundle(1, 40)], (alike / np.linalg.norm(alike, axis=1, keepdims=True)).astype(np.float32))
    index.add([make_bundle(2, 3)], unit_vectors(3, 6))
    graph = index.neighbour_graph("image", 10, least_others=2)
    theirs = graph.studies[graph.neighbours[:40]]
    own = graph.studies[:40, None]
    assert (theirs[:, :8] == own).all()
    assert (theirs[:, 8:] != own).all()


def test_what_there_is_too_little_of_is_not_there(index: CaseIndex) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2, 1))
    graph = index.neighbour_graph("image", 5)
    assert graph.neighbours.tolist() == [[1, -1, -1, -1, -1], [0, -1, -1, -1, -1]]
    assert np.isnan(graph.cosines[:, 1:]).all()
    assert index.neighbour_graph("study", 5).neighbours.tolist() == [[-1] * 5]


def test_equal_vectors_are_each_others_neighbours(index: CaseIndex) -> None:
    index.add([make_bundle(1, 6)], np.repeat(unit_vectors(1, 3), 6, axis=0))
    graph = index.neighbour_graph("image", 2)
    assert (graph.neighbours != np.arange(6)[:, None]).all()
    np.testing.assert_allclose(graph.cosines, 1, atol=1e-6)


def test_what_a_step_raises_ends_it(filled: CaseIndex) -> None:
    def stop(_done: int, _of: int) -> None:
        raise CatalogError("stopped", "Stopped.")

    with pytest.raises(CatalogError, match="Stopped"):
        filled.neighbour_graph("image", 3, on_step=stop)
