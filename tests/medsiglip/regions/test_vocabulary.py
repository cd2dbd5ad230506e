"""Parts of the body by their spellings, compared with the lists of the standard."""

from __future__ import annotations

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr.codedict import codes

from medsiglip.ingest.header.header_texts import TERMS
from medsiglip.regions.vocabulary import (
    agree,
    in_words,
    is_paired,
    named,
    region_names,
    regions_in_words,
    regions_named,
    regions_of_body_part,
    sides_in_words,
    spellings_alike,
)


def test_every_defined_term_and_structure_of_the_standard_is_a_region() -> None:
    """PS3.16 Annex L, and CID 4031 as pydicom has it; a phantom is no part of a body."""
    assert [term for term in TERMS["BodyPartExamined"] if not regions_of_body_part(term)] == []
    structures = {
        getattr(codes.CID4031, name).meaning for names in cid_concepts[4031].values() for name in names
    }
    assert len(structures) > 100
    assert {one for one in structures if not regions_of_body_part(one)} == {"Phantom"}


@pytest.mark.parametrize(
    ("value", "regions"),
    [
        ("HEAD", "head"),
        ("BRAIN", "head"),
        ("SKULL", "head"),
        ("THORAX", "chest"),
        ("CHESTABDPELVIS", "chest, abdomen, pelvis"),
        ("LSSPINE", "lumbar-spine"),
        ("L SPINE", "lumbar-spine"),
        ("foot", "foot"),
        ("WHOLEBODY", "whole-body"),
        ("GALLBLADDER", "abdomen"),
        ("", None),
        (None, None),
        ("TABLE 7", None),
    ],
)
def test_a_body_part_has_its_regions(value: str | None, regions: str | None) -> None:
    found = regions_of_body_part(value)
    assert named(found) == regions
    assert regions_named(regions) == found or regions == "whole-body"


@pytest.mark.parametrize(
    ("text", "regions", "sides"),
    [
        ("XR Foot 3V LT", "foot", "L"),
        ("CT Thorax/Abdomen mit KM", "chest, abdomen", ""),
        ("Thorax^Routine (Adult)", "chest", ""),
        ("head first supine, CT ABDOMEN", "abdomen", ""),
        ("Femoral head, right", "hip", "R"),
        ("radiographie du genou gauche", "knee", "L"),
        ("Röntgen Schädel in 2 Ebenen", "head", ""),
        ("soft tissue recon", None, ""),
        ("both hands", "hand", "LR"),
        ("t2_tse_cor 4 echo time", None, ""),
        ("Foreign body", None, ""),
    ],
)
def test_words_of_a_description_have_their_regions_and_sides(
    text: str, regions: str | None, sides: str
) -> None:
    assert named(regions_in_words(text)) == regions
    assert "".join(sorted(sides_in_words(text))) == sides


def test_neighbours_agree_and_others_do_not() -> None:
    def regions(name: str) -> frozenset[str]:
        return frozenset((name,))

    assert agree(regions("chest"), regions("abdomen"))
    assert agree(regions("abdomen"), regions("chest"))
    assert not agree(regions("foot"), regions("chest"))
    assert not agree(regions("head"), regions("chest"))
    for one in region_names():
        for other in region_names():
            assert agree(regions(one), regions(other)) == agree(regions(other), regions(one)), (one, other)
    assert is_paired(regions("knee"))
    assert not is_paired(regions("chest"))
    assert in_words(frozenset(("chest", "abdomen"))) == "the chest or the abdomen"


def test_a_rule_on_a_whole_region_means_every_spelling_of_it() -> None:
    assert {"HEAD", "BRAIN", "SKULL"} <= set(spellings_alike("BRAIN"))
    assert "LUNG" in spellings_alike("CHEST")
    assert spellings_alike("LIVER") == ("LIVER",)
    assert spellings_alike("TABLE 7") == ("TABLE 7",)
