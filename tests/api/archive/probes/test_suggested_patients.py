"""`probe suggest` leaves out patients with a label that its filters do not see."""

from __future__ import annotations

from pathlib import Path

from medsiglip.api.archive.archive import Archive
from medsiglip.index.label_records import LabelRecord
from tests.api.labelled_studies import STUDIES, make_labelled_home, study_uid


def test_a_patient_with_a_label_that_a_filter_leaves_out_is_not_suggested(tmp_path: Path) -> None:
    """Of 120 patients 40 have two studies; the labels of those of men are taken away."""
    make_labelled_home(tmp_path / "home")
    with Archive(tmp_path / "home") as archive:
        archive.train_probe("skin", labels=["melanoma"], level="study", where=["patient_sex=F"])
        records = [
            LabelRecord(name, None, "study_instance_uid", study_uid(number))
            for number in range(0, STUDIES, 2)
            for name in ("melanoma", "alpha", "beta", "always")
            if number != 120
        ]
        archive.index.labels.put(records)
        among = ["study_instance_uid=" + "|".join(study_uid(number) for number in (0, 2, 122))]
        found = archive.suggest_cases("skin", where=among)
    assert {one.patient_key for one in found.suggestions} == {"patient-2"}
    assert (found.considered, found.candidates) == (3, 2)
