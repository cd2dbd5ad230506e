from __future__ import annotations

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.labels.case_attributes import CaseAttributes
from medsiglip.index.records import ProbeRecord
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


def fill(index: CaseIndex) -> None:
    known = {"patient_sex": "F", "patient_age": 61.5, "study_date": "2021-03-04"}
    index.add(
        [
            make_bundle(
                *(2, 2),
                study_fields=known,
                series_fields={"manufacturer": "GE"},
                image_fields={"quality": {"site": "North", "blank": 0}},
            ),
            make_bundle(1, 1),
        ],
        unit_vectors(3),
    )


def test_attributes_are_those_of_each_row(index: CaseIndex) -> None:
    fill(index)
    known = CaseAttributes("F", 61.5, "GE", "North", "2021-03-04")
    nothing = CaseAttributes(None, None, None, None, None)
    for level in ("image", "series", "study"):
        table = index.table(level)
        expected = [known if uid == "2.25.2" else nothing for uid in table.study_instance_uids]
        assert index.instances.attributes_of(table) == expected
    assert index.instances.attributes_of(index.table("study", ["modality=XX"])) == []


def test_a_deleted_study_is_suspected_no_more(index: CaseIndex) -> None:
    fill(index)
    suspects = [{"label": "x", "study_instance_uid": f"2.25.{study}", "margin": 0.1} for study in (1, 2)]
    index.probes.put(ProbeRecord("p", SPACE.name, "probes/p.npz", {"labels": [], "suspects": suspects}))
    index.remove_study("2.25.2")
    [left] = index.probes.listed()
    assert left.summary["suspects"] == suspects[:1]
