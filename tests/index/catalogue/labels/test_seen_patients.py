"""Which patients a probe has seen, followed by their own pictures or by groups of the whole archive."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.labels import seen_patients
from medsiglip.index.records import ProbeRecord
from tests.index.catalogue.labels.test_patient_groups import with_pixels
from tests.index.index_cases import unit_vectors
from tests.index.sent_statements import sent_statements


def probe(name: str, *studies: int) -> ProbeRecord:
    patients = [f"patient-{study}" for study in studies]
    return ProbeRecord(name, "space", f"probes/{name}.npz", {"patients": patients})


def test_patients_that_share_a_picture_through_a_third_are_seen(index: CaseIndex) -> None:
    pictures = (("d",), ("e", "f"), ("f", "d"), ("a",), ("b",))
    bundles = [with_pixels(study, *theirs) for study, theirs in enumerate(pictures, 1)]
    index.add(bundles, unit_vectors(7))
    probes = [probe("first", 1), probe("fifth", 5, 99), probe("none")]
    keys = [f"patient-{study}" for study in range(1, 5)]
    assert index.instances.seen_patients(keys, probes) == {
        "first": {"patient-1", "patient-2", "patient-3"},
        "fifth": frozenset(),
        "none": frozenset(),
    }
    assert index.instances.seen_patients(["patient-99"], probes)["fifth"] == {"patient-99"}
    assert index.instances.holders_of_pictures(["d", "z"]) == {"d": {"patient-1", "patient-3"}, "z": set()}


def test_both_ways_say_the_same(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    bundles = [with_pixels(study, *(f"{one}" for one in set(rng.integers(0, 60, 2)))) for study in range(40)]
    index.add(bundles, unit_vectors(sum(len(one.images) for one in bundles)))
    probes = [probe("even", *range(0, 10, 2)), probe("odd", *range(1, 10, 2))]
    keys = [f"patient-{study}" for study in range(40)]
    followed = [index.instances.seen_patients([key], probes) for key in keys]
    monkeypatch.setattr(seen_patients, "_FEW", 0)
    grouped = index.instances.seen_patients(keys, probes)
    for name, seen in grouped.items():
        assert 5 < len(seen) < 40
        assert {key for key, one in zip(keys, followed, strict=True) if one[name]} == seen


@pytest.mark.parametrize("few", [0, 100])
def test_a_nearly_blank_picture_makes_nobody_seen(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    index.add([with_pixels(study, "blank", f"p{study}") for study in range(3)], unit_vectors(6))
    monkeypatch.setattr(seen_patients, "_FEW", few)
    found = index.instances.seen_patients(["patient-0", "patient-1"], [probe("a", 0)])
    assert found == {"a": {"patient-0"}}
    assert index.instances.holders_of_pictures(["blank", "p1"]) == {"blank": set(), "p1": {"patient-1"}}


def test_one_patient_s_pictures_are_looked_up_without_grouping_the_archive(index: CaseIndex) -> None:
    index.add([with_pixels(study, f"p{study}") for study in range(3)], unit_vectors(3))
    with sent_statements() as sent:
        index.instances.seen_patients(["patient-1"], [probe("a", 0), probe("b", 2)])
    looked_up = [one for one in sent if "instances" in one]
    assert len(looked_up) == 3
    assert not [one for one in looked_up if "GROUP BY" in one]
