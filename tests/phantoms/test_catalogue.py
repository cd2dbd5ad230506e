from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from medsiglip.phantoms.catalogue import ANATOMIES, anatomy, make_studies, plan_studies, synthesise_study
from medsiglip.phantoms.study import PhantomStudy


def test_every_anatomy_can_be_synthesised_and_an_unknown_one_is_named() -> None:
    for name in ANATOMIES:
        assert name == anatomy(name).NAME
    with pytest.raises(KeyError, match="knee"):
        anatomy("knee")


def test_a_study_does_not_depend_on_how_many_are_asked_for() -> None:
    many = plan_studies(200, 1)
    assert many[:10] == plan_studies(10, 1)
    three = list(make_studies(3, 5, ["chest-xray"]))
    five = list(make_studies(5, 5, ["chest-xray"]))
    for one, other in zip(three, five, strict=False):
        assert one.study_instance_uid == other.study_instance_uid
        assert one.report == other.report
        assert np.array_equal(one.series[0].pixels, other.series[0].pixels)
    assert three[0].study_instance_uid != next(iter(make_studies(1, 6, ["chest-xray"]))).study_instance_uid


def test_findings_and_normal_are_equally_frequent() -> None:
    plans = plan_studies(2400, 2)
    first = Counter((plan.anatomy, plan.findings[:1]) for plan in plans)
    assert len(first) == sum(1 + len(anatomy(name).FINDINGS) for name in ANATOMIES)
    assert max(first.values()) - min(first.values()) <= 1


def test_one_chest_radiograph_in_ten_shows_two_different_findings() -> None:
    plans = plan_studies(3000, 3, ["chest-xray"])
    double = [plan.findings for plan in plans if len(plan.findings) == 2]
    assert len(double) / len(plans) == pytest.approx(0.10, abs=0.02)
    assert all(first != second for first, second in double)
    assert all(len(plan.findings) <= 1 for plan in plan_studies(300, 3) if plan.anatomy != "chest-xray")


def test_three_patients_in_ten_come_again_with_the_same_anatomy() -> None:
    visits: dict[tuple[str, int], list[int]] = defaultdict(list)
    for plan in plan_studies(3000, 4):
        visits[plan.anatomy, plan.patient].append(plan.visit)
    assert all(seen == list(range(len(seen))) for seen in visits.values())
    counts = Counter(map(len, visits.values()))
    assert set(counts) == {1, 2, 3}
    assert (counts[2] + counts[3]) / len(visits) == pytest.approx(0.3, abs=0.04)


@pytest.fixture(scope="module")
def studies() -> list[PhantomStudy]:
    return [synthesise_study(plan, 96) for plan in plan_studies(40, 7, ["chest-xray", "skin", "mammogram"])]


def test_labels_are_what_the_images_show(studies: list[PhantomStudy]) -> None:
    for study in studies:
        seen = {
            finding.name for series in study.series for image in series.image_findings for finding in image
        }
        assert set(study.labels) == set(anatomy(study.series[0].anatomy).FINDINGS)
        assert {name for name, value in study.labels.items() if value} == seen
        assert set(study.labels.values()) <= {0, 1}


def test_a_patient_keeps_name_sex_and_birthday_and_grows_older(studies: list[PhantomStudy]) -> None:
    patients: dict[str, list[PhantomStudy]] = defaultdict(list)
    for study in studies:
        patients[study.patient_id].append(study)
    again = [visits for visits in patients.values() if len(visits) > 1]
    assert again
    for visits in again:
        assert (
            len({(visit.patient_name, visit.patient_sex, visit.series[0].anatomy) for visit in visits}) == 1
        )
        assert [visit.study_date for visit in visits] == sorted({visit.study_date for visit in visits})
        assert visits[0].patient_age <= visits[-1].patient_age <= visits[0].patient_age + 3
    assert {study.patient_sex for study in studies} == {"F", "M"}
    assert {study.patient_sex for study in studies if study.series[0].anatomy == "mammogram"} == {"F"}


def test_uids_are_valid_and_distinct(studies: list[PhantomStudy]) -> None:
    uids = [study.study_instance_uid for study in studies]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 and uid[5] != "0" for uid in uids)
