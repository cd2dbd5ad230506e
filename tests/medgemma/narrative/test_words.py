"""Dates, pictures, techniques and rows of the table in words."""

from __future__ import annotations

import pytest

from medsiglip.medgemma.narrative.dates import written_date
from medsiglip.medgemma.narrative.pictures import picture_in_words
from medsiglip.medgemma.narrative.report_kinds import kind_of
from medsiglip.medgemma.narrative.score_table import score_rows
from medsiglip.medgemma.narrative.technique import technique
from medsiglip.medgemma.records import Evidence, EvidenceImage, EvidenceSeries, Finding
from tests.medgemma.narrative.scored_studies import scored


@pytest.mark.parametrize(
    ("date", "written"),
    [
        ("2024-05-12", "12 May 2024"),
        ("20240501", "1 May 2024"),
        ("2024-05-12T10:00:00", "12 May 2024"),
        ("2024-05", "May 2024"),
        ("1999-12-31", "31 December 1999"),
        ("spring of 2024", "spring of 2024"),
        ("2024-13-01", "2024-13-01"),
        ("", ""),
    ],
)
def test_dates_are_written_as_people_write_them(date: str, written: str) -> None:
    assert written_date(date) == written


def study(modality: str, region: str | None, *series: EvidenceSeries, part: str | None = None) -> Evidence:
    return scored({}, modality, region=region, series=series, body_part_examined=part)


def one(modality: str, images: int = 1, instances: int = 1, **more: str) -> EvidenceSeries:
    return EvidenceSeries(f"2.25.{images}{instances}", images, instances, modality, **more)


def axial(slices: int) -> EvidenceSeries:
    return one("MR", slices, slices, orientation="axial")


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (study("CR", "chest", one("CR", view_position="PA")), "Chest radiograph, posteroanterior view."),
        (
            study("DX", "chest", one("DX", view_position="PA"), one("CR", view_position="LL")),
            "Chest radiograph, posteroanterior and left lateral views.",
        ),
        (study("DX", "chest", one("DX", 2, 2)), "Chest radiograph, two images."),
        (
            study("DX", "chest", one("DX", 2, 2, view_position="AP")),
            "Chest radiograph, two images (anteroposterior view).",
        ),
        (study("DX", "foot", one("DX")), "Radiograph of the foot, one image."),
        (
            study("DX", "foot", one("DX", laterality="R", view_position="AP")),
            "Radiograph of the right foot, anteroposterior view.",
        ),
        (
            study("OP", "eye", one("OP", laterality="L"), one("OP", laterality="R")),
            "Fundus photograph, two images.",
        ),
        (study("DX", None, part="LSPINE"), "Radiograph of the lumbar spine."),
        (study("DX", None), "Radiograph."),
        (study("CT", "chest", one("CT", 32, 300)), "CT of the chest, 300 slices."),
        (
            study("CT", "head", one("CT", 40, 40), one("CT", 20, 20)),
            "CT of the head, two series with 60 slices in all.",
        ),
        (study("CT", "chest", one("CT", 9, 9, orientation="axial")), "CT of the chest, nine axial slices."),
        (
            study("MR", "head", axial(20), axial(11)),
            "MR of the head, two axial series with 31 slices in all.",
        ),
        (
            study("MR", "head", axial(20), one("MR", 9, 9, orientation="sagittal")),
            "MR of the head, two series (axial and sagittal) with 29 slices in all.",
        ),
        (study("MR", "knee", one("MR", 24, 1)), "MR of the knee, 24 slices."),
        (
            study(
                "MG", "breast", one("MG", laterality="R", view_position="CC"),
                one("MG", laterality="L", view_position="MLO"),
            ),
            "Mammogram, right craniocaudal and left mediolateral oblique views.",
        ),
        (study("US", "abdomen", one("US", 12, 12)), "Ultrasound of the abdomen, 12 images."),
        (study("OP", "eye", one("OP", laterality="L")), "Fundus photograph of the left eye, one image."),
        (study("XC", "skin", one("XC")), "Photograph of the skin, one image."),
        (study("SM", "tissue", one("SM", 24, 1)), "Microscopy of tissue, 24 fields."),
        (study("NM", None, one("NM", 3, 3)), "Medical images, three images."),
    ],
)  # fmt: skip
def test_the_technique_says_what_is_known_of_the_pictures(evidence: Evidence, said: str) -> None:
    assert technique(evidence, kind_of(evidence)) == said


def images(*more: EvidenceImage) -> tuple[EvidenceImage, ...]:
    return more


SLICE = EvidenceImage(7, "2.25.1", "2.25.77", 0, "CT", slice_number=172, slice_count=300)


@pytest.mark.parametrize(
    ("pictures", "series", "image_id", "said"),
    [
        (images(SLICE), (EvidenceSeries("2.25.77", 49, 300, "CT"),), 7, "slice 172 of 300"),
        (images(SLICE), (), 7, "slice 172 of 300"),
        (
            images(SLICE),
            (EvidenceSeries("2.25.5", 9, 9, "CT"), EvidenceSeries("2.25.77", 49, 300, "CT")),
            7,
            "series 2, slice 172 of 300",
        ),
        (
            images(EvidenceImage(3, "2.25.1", "2.25.4", 0, "DX")),
            (EvidenceSeries("2.25.4", 1, 1, "DX", "PA"),),
            3,
            "posteroanterior view",
        ),
        (
            images(EvidenceImage(2, "2.25.1", "2.25.4", 0), EvidenceImage(3, "2.25.2", "2.25.4", 12)),
            (EvidenceSeries("2.25.4", 2, 2, "US"),),
            3,
            "image 2, frame 13",
        ),
        (images(SLICE), (), 8, ""),
    ],
)
def test_a_picture_is_named_by_slice_view_or_place(
    pictures: tuple[EvidenceImage, ...], series: tuple[EvidenceSeries, ...], image_id: int, said: str
) -> None:
    assert picture_in_words(scored({}, images=pictures, series=series), image_id) == said


def test_a_row_of_the_table_has_the_score_its_calibration_and_its_picture() -> None:
    found = Finding("pleural-effusion", 0.934, True, "prompts:chest-xray", 1, calibrated=True)
    unknown = Finding("my label", 0.5, None, "probe:mine", 9)
    first, second = score_rows(scored({}, findings=(found, unknown)))
    assert (first.label, first.probability, first.calibrated) == ("Pleural effusion", "0.93", True)
    assert first.code is not None
    assert (first.code.value, first.state, first.picture) == ("60046008", "high", "image 1")
    assert (second.label, second.code, second.state, second.picture) == ('"my label"', None, "undecided", "")


@pytest.mark.parametrize(
    ("probability", "written"),
    [(0.9996, ">0.99"), (0.994, "0.99"), (0.0004, "<0.01"), (0.005, "0.01"), (0.5, "0.50")],
)
def test_no_probability_is_written_as_certain(probability: float, written: str) -> None:
    [row] = score_rows(scored({}, findings=(Finding("nodule", probability, None, "probe:mine", 1),)))
    assert row.probability == written


def test_a_label_that_means_something_elsewhere_is_quoted_without_its_code() -> None:
    """A "mass" of a probe on CT of the chest is no mass of the breast."""
    mass = Finding("mass", 0.9, True, "probe:mine", 1)
    [row] = score_rows(scored({}, "CT", findings=(mass,)))
    assert (row.label, row.code) == ('"mass"', None)
    [row] = score_rows(scored({}, "MG", region="breast", findings=(mass,)))
    assert row.label == "Breast mass"
    assert row.code is not None
