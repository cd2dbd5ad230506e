"""What a reply says of findings is kept, and true reports are not refused."""

from __future__ import annotations

import pytest

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.reply_phrases import ASKS_FOR_PICTURE, DISCLAIMER, PREAMBLE
from medsiglip.medgemma.generators.server_options import checked_url
from medsiglip.medgemma.generators.unusable_replies import loops, names_a_patient

LEVELS = "\n".join(
    f"L{n}-L{n + 1}: Normal disc height. No disc bulge or herniation. No spinal canal stenosis. No "
    "neural foraminal stenosis."
    for n in range(1, 8)
)


@pytest.mark.parametrize(
    "text",
    [
        "This is an abnormal chest radiograph with findings suspicious for a pneumothorax: the lung is small",
        "This is a limited study with an impression of large left pneumothorax discussed at 10:30",
        "Here is a nodule of the right lung with findings of infection: antibiotics were given",
    ],
)
def test_a_sentence_on_findings_is_no_announcement(text: str) -> None:
    assert PREAMBLE.match(text) is None


@pytest.mark.parametrize(
    "text",
    ["Okay, here is the report:", "Here is a detailed report of the chest X-ray:", "Here are my findings:"],
)
def test_an_announcement_is_one(text: str) -> None:
    found = PREAMBLE.match(f"{text} The heart is normal.")
    assert found is not None
    assert found[0] == text


@pytest.mark.parametrize(
    ("text", "disclaims"),
    [
        ("Please consult a specialist for biopsy of the right upper lobe mass.", False),
        ("Please contact a physician about the tension pneumothorax.", False),
        ("Please consult a doctor.", True),
        ("Please consult a qualified healthcare professional for a diagnosis.", True),
    ],
)
def test_advice_on_a_finding_is_no_disclaimer(text: str, disclaims: bool) -> None:
    assert (DISCLAIMER.search(text) is not None) == disclaims


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("The image is missing the lung apices.", False),
        ("The study was required for staging of lung cancer.", False),
        ("We have no study for comparison.", False),
        ("The image is missing.", True),
        ("An image is required to answer.", True),
    ],
)
def test_a_remark_on_the_pictures_is_no_request_for_them(text: str, asks: bool) -> None:
    assert (ASKS_FOR_PICTURE.search(text) is not None) == asks


def test_the_same_words_for_each_level_are_no_loop() -> None:
    assert not loops(LEVELS)
    assert not loops("─" * 60)
    assert loops("There is no focal abnormality. " * 30)


def test_no_of_a_finding_is_no_record_number() -> None:
    assert not names_a_patient("In this patient no COVID-19 pattern is seen.")
    assert names_a_patient("Patient No: 12345")


@pytest.mark.parametrize("url", ["http://münchen../v1", "http://host/\x01v1", "http://xn--/v1"])
def test_a_host_that_cannot_be_is_refused_when_it_is_configured(url: str) -> None:
    with pytest.raises(DraftError) as caught:
        checked_url(url)
    assert caught.value.code == "bad-generator-url"
