from __future__ import annotations

import csv
from pathlib import Path

import pydicom

from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.writing import write_phantoms


def test_studies_and_their_labels_are_written(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    written = write_phantoms(tmp_path, 9, 22, lambda done, total: progress.append((done, total)))
    studies = list(make_studies(9, 22))
    assert progress == [(done, 9) for done in range(1, 10)]
    assert [one.study_instance_uid for one in written] == [study.study_instance_uid for study in studies]
    assert [one.labels for one in written] == [study.labels for study in studies]
    files = sorted((tmp_path / "dicom").rglob("*.dcm"))
    assert len(files) == sum(one.files for one in written)
    uids = {str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID) for path in files}
    assert uids == {study.study_instance_uid for study in studies}
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row.pop("study_instance_uid"): row for row in csv.DictReader(stream)}
    assert rows.keys() == uids
    for study in studies:
        given = {name: int(value) for name, value in rows[study.study_instance_uid].items() if value}
        assert given == {f"label:{name}": value for name, value in study.labels.items()}
