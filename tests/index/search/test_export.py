from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.filters import FIELDS
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.search import export
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


def test_one_row_for_each_image_with_all_that_is_known(
    index: CaseIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_ROWS", 3)
    vectors = unit_vectors(9)
    ids = []
    for study in range(3):
        fields = {"patient_age": 40.5 + study, "study_date": f"2020-01-0{study + 1}"}
        bundle = make_bundle(study, 3, study_fields=fields)
        ids += index.add([bundle], vectors[3 * study : 3 * study + 3])
    index.labels.put(
        [
            LabelRecord("x", 1, "study_instance_uid", "2.25.1"),
            LabelRecord("y", 0.5, "path", "/data/1/0/0.dcm"),
        ]
    )
    assert index.export(tmp_path / "out") == 9
    table = pq.read_table(tmp_path / "out" / "images.parquet")
    assert table["image_id"].to_pylist() == ids
    rows = table.to_pylist()
    assert [row["sop_instance_uid"] for row in rows] == [
        f"2.25.{s}.0.{i}" for s in range(3) for i in range(3)
    ]
    assert rows[3]["labels"] == [("x", 1.0), ("y", 0.5)]
    assert rows[0]["labels"] == []
    first = {
        "frame": 1,
        "patient_key": "patient-0",
        "path": "/data/0/0/0.dcm",
        "patient_age": 40.5,
        "modality": "CT",
    }
    assert first.items() <= rows[0].items()
    assert {*FIELDS, "path", "labels", "embedding", "warnings"} == set(table.column_names)
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 16)
    assert table.schema.field("labels").type == pa.map_(pa.string(), pa.float64())
    assert np.array_equal(np.array(table["embedding"].to_pylist(), np.float32), index.vectors(ids))
    assert table.schema.metadata[b"space"] == SPACE.name.encode()


def test_nothing_is_left_of_an_export_that_fails(index: CaseIndex, home: Path, tmp_path: Path) -> None:
    index.add([make_bundle(1, 1)], unit_vectors(1))
    index.add([make_bundle(2, 1)], unit_vectors(1))
    max((home / "vectors" / SPACE.name).iterdir(), key=lambda path: path.stat().st_mtime_ns).unlink()
    with pytest.raises(CatalogError) as caught:
        index.export(tmp_path / "out")
    assert caught.value.code == "missing-shard"
    assert list((tmp_path / "out").iterdir()) == []


def test_an_empty_space_exports_a_table_without_rows(index: CaseIndex, tmp_path: Path) -> None:
    assert index.export(tmp_path) == 0
    assert pq.read_table(tmp_path / "images.parquet").num_rows == 0
