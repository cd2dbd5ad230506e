"""Codes of findings: they are well formed, and mean what DICOM and the label mean."""

from __future__ import annotations

import re

import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as DicomCode

from medsiglip.medgemma.narrative.codes import SCHEMES, Code, code_of, codes_of
from medsiglip.medgemma.narrative.nouns import terms

CODES = [
    (name, Code(scheme, fields["value"], fields["meaning"]))
    for scheme in SCHEMES
    for name, fields in terms("codes")[scheme].items()
]
# Verhoeff's dihedral check: the multiplication of D5 and the permutation of a digit by its place.
MULTIPLIED = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]  # fmt: skip
PERMUTED = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def has_check_digit(number: str) -> bool:
    """Whether the last digit of a SNOMED CT identifier fits the others."""
    value = 0
    for place, digit in enumerate(map(int, reversed(number))):
        for _ in range(place % 8):
            digit = PERMUTED[digit]
        value = MULTIPLIED[value][digit]
    return value == 0


def known_to_dicom() -> dict[str, list[str]]:
    """The meanings that DICOM gives to each SNOMED CT code."""
    found: dict[str, list[str]] = {}
    for keyword in codes.SCT.dir():
        try:
            listed = getattr(codes.SCT, keyword)
        except RuntimeError:  # a keyword of several codes
            continue
        assert isinstance(listed, DicomCode)
        found.setdefault(listed.value, []).append(listed.meaning)
    return found


def words(text: str) -> set[str]:
    return {word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower())}


def test_snomed_ct_identifiers_have_their_check_digit() -> None:
    assert has_check_digit("22298006")
    assert not has_check_digit("22298007")
    for name, code in CODES:
        if code.scheme == "SCT":
            assert re.fullmatch(r"[1-9]\d{5,17}", code.value), name
            assert has_check_digit(code.value), name
            assert code.value[-3:-1] in ("00", "10"), f"{name} is no concept"
        else:
            assert re.fullmatch(r"RID\d{1,5}", code.value), name


def test_codes_that_dicom_lists_mean_there_what_they_mean_here() -> None:
    known = known_to_dicom()
    listed = [(code, known[code.value]) for _, code in CODES if code.value in known]
    assert len(listed) >= 15
    for code, meanings in listed:
        mine = words(code.meaning)
        assert any(mine <= words(meaning) for meaning in meanings), (code, meanings)


def test_no_code_stands_for_two_findings() -> None:
    assert len({(code.scheme, code.value) for _, code in CODES}) == len(CODES)


@pytest.mark.parametrize(
    ("label", "source", "value"),
    [
        ("pleural-effusion", "", "60046008"),
        ("Pleural_Effusion", "probe:mine", "60046008"),
        ("effusion", "probe:mine", "60046008"),
        ("Psoriasis", "prompts:skin-conditions", "9014002"),
        ("mild", "prompts:diabetic-retinopathy", "312903003"),
        ("invasive", "prompts:invasive-breast-cancer", "713609000"),
        ("lung-opacity", "", "RID28530"),
    ],
)
def test_a_label_has_the_code_of_its_finding(label: str, source: str, value: str) -> None:
    code = code_of(label, source)
    assert code is not None
    assert code.value == value


def test_a_label_without_a_code_has_none() -> None:
    assert code_of("mild") is None
    assert code_of("anything of ones own") is None
    assert codes_of("support-devices") == ()


def test_snomed_ct_comes_before_radlex_and_each_has_its_system() -> None:
    found = codes_of("pneumothorax")
    assert [(one.scheme, one.system) for one in found] == [
        ("SCT", "http://snomed.info/sct"),
        ("RADLEX", "http://radlex.org"),
    ]
