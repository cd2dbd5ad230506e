"""Telephone, record and insurance numbers and dates of birth, told from the numbers of techniques."""

from __future__ import annotations

import pytest

from medsiglip.ingest.privacy.free_text import identity_of, without_identifiers


@pytest.mark.parametrize(
    "text",
    [
        "tel 06 18 34 56 78",
        "HAND 06 18 34 56 78",
        "HAND 06.18.34.56.78",
        "HAND 0618345678",
        "FOOT NHS 943 476 5919",
        "FOOT 943 476 5919",
        "FOOT 943-476-5919",
        "FOOT (943) 476-5919",
        "FOOT 943/476/5919",
        "555-1234",
        "CT 555-1234",
        "CT 0512/504 123",
        "CT +43 512 504 12",
        "CT ٠٦١٨٣٤٥٦٧٨",
        "CT ٠٦ ١٨ ٣٤ ٥٦ ٧٨",
        "CT 06–18–34–56–78",
        "CT 123456",
        "CT 12 345 678",
        "MR MRN 4711",
        "06_18_34_56_78",
        "06,18,34,56,78",
        "06;18;34;56;78",
        "06+18+34+56+78",
        "06*18*34*56*78",
        "06:18:34:56:78",
        "06 - 18 - 34 - 56 - 78",
        "06|18|34|56|78",
        "555,1234",
        "555.1234",
        "555*1234",
        "555_1234",
        "555/1234",
        "1234/5678",
        "943/476/591",
        "CT 12340506",
        "CT 4711-09-12",
        "943, 476, 5919",
    ],
)
def test_numbers_that_look_like_anybody_s(text: str) -> None:
    assert without_identifiers(text, identity_of(("19700102",), ("Smith^John",))) is None


@pytest.mark.parametrize(
    "text",
    [
        "T2 FSE 5/1",
        "TR/TE 5000/100",
        "TR/TE/FA 2000/30/90",
        "3 mm",
        "0.625",
        "LUNG 1.25 0.625",
        "CT 5.0 4.0 1.25 120 kV",
        "MR 1.5T",
        "512x512",
        "matrix 512 512",
        "DWI b 0 50 400 800",
        "DWI b 0 500 1000",
        "CT 120 kV 250 mAs",
        "window 0-100",
        "years 2019-2020",
        "2019-03-04",
        "04.03.2019",
        "CT 3/4/2019",
        "MR 20190304",
        "ThoraxRoutine  8.0.0  B40f",
        "CT 1-2-3",
        "CT 12:30:45",
        "T1_p2_1mm_fov256_sag_TI_880",
        "DWI b 0,50,400,800",
        "DWI b 0_500_1000",
        "0.5*0.5*3",
        "512*512*300",
        "1,25 0,625",
        "1.25, 0.625, 2.5",
        "CT 1000.25",
        "TR/TE 4500/105",
        "2019/2020",
        "2019, 2020",
        "CT 2019_03_04",
        "CT 4, 3, 2019",
        "4/3/2562",
        "2019-03-04 12:30:45",
        "C1+C2+C3",
    ],
)
def test_numbers_of_techniques_and_other_dates_are_kept(text: str) -> None:
    assert without_identifiers(text, identity_of(("19700102", "4711"), ("Smith^John",))) == text


@pytest.mark.parametrize(
    "written",
    [
        "19700102",
        "1970-01-02",
        "1970/1/2",
        "2.1.1970",
        "02.01.1970",
        "02/01/1970",
        "1/2/1970",
        "01/02/70",
        "2.1.70",
        "02-01-70",
        "02011970",
        "020170",
        "2 1 1970",
        "1970 01 02",
        "02-JAN-1970",
        "2 Jan 1970",
        "Jan 2, 1970",
        "2nd of March 1970",
        "02MAR1970",
        "2 MAR 70",
        "2.I.1970",
        "1970年1月2日",
        "1970년 1월 2일",
        "２.１.１９７０",
        "٢/١/١٩٧٠",
        "2/1/2513",
        "昭和45年1月2日",
        "45.1.2",
    ],
)
def test_the_date_of_birth_in_any_writing(written: str) -> None:
    """MAR is a word of techniques (metal artefact reduction): a month of any language is a word between two
    numbers.
    """
    text = f"CT {written}"
    assert without_identifiers(text, identity_of(("19700102",), ("Smith^John",))) is None
    assert without_identifiers("CT 2 MAR 71", identity_of(("19700102",), ("Smith^John",))) == "CT 2 MAR 71"


def test_a_date_of_birth_of_another_calendar_leaves_only_the_day_of_the_study() -> None:
    """2513 of the Buddhist calendar is 1970; 1348 of the Persian may be written as any day of two years."""
    for written in ("25130102", "13481012"):
        identity = identity_of((written,), ("Smith^John",), (), ("20190304",))
        assert without_identifiers("CT 2.1.1970", identity) is None, written
        assert without_identifiers("CT 2019-03-04", identity) == "CT 2019-03-04", written
    thai = identity_of(("25130102",), ("Smith^John",))
    assert without_identifiers("CT 2 MAR 1970", thai) is None
    assert without_identifiers("CT 2 MAR 1971", thai) == "CT 2 MAR 1971"


@pytest.mark.parametrize(
    ("day", "survives"), [("2019-03-04", True), ("20190304", True), ("2.1.1970", False), ("19700102", False)]
)
def test_without_a_date_of_birth_only_the_day_of_the_study_is_kept(day: str, survives: bool) -> None:
    unborn = identity_of(("4711", ""), ("Smith^John",), (), ("20190304",))
    assert without_identifiers(f"CT {day}", unborn) == (f"CT {day}" if survives else None)


@pytest.mark.parametrize(
    ("identifier", "written"),
    [
        ("0012345", "MR 12345"),
        ("4711", "MR 04711"),
        ("00-123-45", "MR 12345"),
        ("12345", "MR 12 34 5"),
        ("12345", "MR 1-23-45"),
        ("AB-12.34/C", "MR AB1234C"),
        ("AB1234C", "MR AB 12 34 C"),
        ("ab_1234", "MR AB1234"),
        ("0047\\9911", "MR 9911"),
        ("٠٠١٢٣٤٥", "MR 12345"),
        ("４７１１", "MR 4711"),
        ("471", "MR 471"),
        ("1234", "MR 12_34"),
        ("1234", "MR 12,34"),
        ("1234", "MR 1*2+3;4"),
        ("000123", "Chest 123"),
        ("123", "Chest 0123"),
        ("A-12", "Chest A12"),
        ("123", "Chest 12-3"),
    ],
)
def test_identifiers_without_zeros_and_dashes(identifier: str, written: str) -> None:
    assert without_identifiers(written, identity_of((identifier, "19700102"), ("Smith^John",))) is None
    assert without_identifiers(written, identity_of(("99887", "19700102"), ("Smith^John",))) == written
