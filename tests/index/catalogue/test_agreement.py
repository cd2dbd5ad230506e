from __future__ import annotations

from functools import reduce
from itertools import permutations

from medsiglip.index.catalogue.agreement import agree
from medsiglip.index.records import SeriesRecord, StudyRecord

RECORDS = [
    StudyRecord("2.25.1", "p", "F", None, "2024-01-02", "mammogram", {"name": "B"}),
    StudyRecord("2.25.1", "p", None, 61.0, "2024-01-01", "", {"name": "A", "id": "1"}),
    StudyRecord("2.25.1", "p", None, 60.5, None, "mammo"),
]


def test_neither_the_order_nor_the_grouping_shows() -> None:
    expected = StudyRecord("2.25.1", "p", "F", 60.5, "2024-01-01", "mammo", {"name": "A", "id": "1"})
    for records in permutations(RECORDS):
        assert agree(*records) == reduce(agree, records) == agree(records[0], agree(*records[1:])) == expected
        assert agree(expected, *records) == expected


def test_values_of_another_patient_do_not_count() -> None:
    other = StudyRecord("2.25.1", "a", "M", 1.0, "1999-01-01", "abdomen")
    assert agree(RECORDS[0], other) == RECORDS[0]


def test_what_one_file_of_a_series_leaves_out_another_gives() -> None:
    records = (
        SeriesRecord("2.25.1", "MG", laterality="R"),
        SeriesRecord("2.25.1", "MG", "BREAST", laterality="L"),
    )
    assert (
        agree(*records) == agree(*reversed(records)) == SeriesRecord("2.25.1", "MG", "BREAST", laterality="L")
    )
