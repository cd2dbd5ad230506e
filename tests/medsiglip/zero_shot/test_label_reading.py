"""How free labels are read, and the pairs of texts that they become."""

from __future__ import annotations

import pytest

from medsiglip.tokenizer import canonicalise
from medsiglip.zero_shot.free_labels import free_labels
from medsiglip.zero_shot.label_reading import read_label

DENIALS = [
    "no pleural effusion",
    "No pleural effusion.",
    "without pleural effusion",
    "without any pleural effusion",
    "absence of pleural effusion",
    "absent pleural effusion",
    "no evidence of pleural effusion",
    "no evidence of a pleural effusion",
    "there is no pleural effusion",
    "There is no evidence of pleural effusion",
    "negative for pleural effusion",
    "free of pleural effusion",
    "pleural effusion is absent",
    "pleural effusion: none",
    "pleural effusion is not seen",
    "pleural effusion not identified",
    "no pleural effusion is seen",
    "pleural effusion has been excluded",
    "no_pleural_effusion",
]
STATEMENTS = [
    "pleural effusion",
    "Pleural Effusion!",
    "there is pleural effusion",
    "there is a pleural effusion",
    "evidence of pleural effusion",
    "presence of pleural effusion",
    "positive for pleural effusion",
    "pleural effusion is present",
    "pleural effusion is not absent",
    "not without pleural effusion",
]


@pytest.mark.parametrize(("labels", "negated"), [(DENIALS, True), (STATEMENTS, False)])
def test_denials_and_statements_are_about_the_same(labels: list[str], negated: bool) -> None:
    pair = free_labels(["pleural effusion"]).prompts["pleural effusion"]
    for label in labels:
        read = read_label(canonicalise(label))
        assert (read.finding, read.carrier, read.negated) == ("pleural effusion", "", negated), label
        [(echoed, prompts)] = free_labels([label]).prompts.items()
        assert (echoed, prompts.negated) == (label, negated)
        sides = (prompts.absent, prompts.present) if negated else (prompts.present, prompts.absent)
        assert sides == (pair.present, pair.absent), label


@pytest.mark.parametrize(
    ("label", "carrier", "finding", "negated"),
    [
        ("a chest radiograph with cardiomegaly", "a chest radiograph", "cardiomegaly", False),
        ("a chest radiograph without cardiomegaly", "a chest radiograph", "cardiomegaly", True),
        ("a chest radiograph with no cardiomegaly", "a chest radiograph", "cardiomegaly", True),
        ("chest X-ray showing consolidation", "chest xray", "consolidation", False),
        ("chest X-ray showing no evidence of consolidation", "chest xray", "consolidation", True),
        ("CT head without contrast", "ct head", "contrast", True),
        ("an image of a patient with no fracture", "an image of a patient", "fracture", True),
        ("lungs with no consolidation is seen", "lungs", "consolidation", True),
    ],
)
def test_phrases_about_a_picture_keep_their_picture(
    label: str, carrier: str, finding: str, negated: bool
) -> None:
    read = read_label(canonicalise(label))
    assert (read.carrier, read.finding, read.negated) == (carrier, finding, negated)
    texts = free_labels([label]).prompts[label]
    present, absent = (texts.absent, texts.present) if negated else (texts.present, texts.absent)
    assert present == (f"{carrier} with {finding}",)
    assert absent == (f"{carrier} without {finding}", f"{carrier} with no {finding}")


@pytest.mark.parametrize(
    ("label", "abnormal", "negated"),
    [
        ("normal chest", "abnormal chest", True),
        ("abnormal chest", "abnormal chest", False),
        ("unremarkable mammogram", "abnormal mammogram", True),
        ("heart size is normal", "abnormal heart size", True),
        ("normal", "abnormal", True),
        ("a normal chest radiograph", "abnormal chest radiograph", True),
        ("a chest X-ray that is normal", "abnormal chest xray", True),
        ("not normal", "abnormal", False),
        ("not a normal chest", "abnormal chest", False),
    ],
)
def test_normal_is_the_other_side_of_abnormal(label: str, abnormal: str, negated: bool) -> None:
    texts = free_labels([label]).prompts[label]
    normal = abnormal.removeprefix("ab")
    assert texts.negated is negated
    assert texts.present == ((normal,) if negated else (abnormal,))
    assert texts.absent == ((abnormal,) if negated else (normal,))


def test_a_picture_with_something_normal_denies_what_is_abnormal() -> None:
    label = "chest radiograph showing a normal heart"
    texts = free_labels([label]).prompts[label]
    assert texts.negated
    assert texts.present == ("chest radiograph with normal heart",)
    assert texts.absent == ("chest radiograph with abnormal heart",)


@pytest.mark.parametrize(
    "label",
    [
        "pleural effusion without pneumothorax",  # denying its second half would not deny the whole
        "airspace opacification cannot be excluded",
        "fracture not ruled out",
        "pneumonia cannot be completely ruled out",
        "fracture is no longer seen",
        "effusion is seen and pneumothorax is absent",
        "no pleural effusion but pneumothorax",
        "lungs without consolidation but with effusion",
        "normal pressure hydrocephalus",
        "effusion is not clearly seen",
        "no longer visible nodule",
        "non displaced fracture",
        "nodule",
        "no",
        "without",
        "absent",
    ],
)
def test_what_denies_nothing_is_taken_as_it_is(label: str) -> None:
    read = read_label(label)
    assert (read.finding, read.negated) == (label, False)
    texts = free_labels([label]).prompts[label]
    assert texts.present == (label,)
    assert texts.absent == (f"no {label}", f"no evidence of {label}")
