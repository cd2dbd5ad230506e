"""How much a filter may say, and that what is more, or broken, is refused in one short sentence."""

from __future__ import annotations

import random
import re

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue import filters
from medsiglip.index.errors import CatalogError, excerpt

FULL = "0" * (filters.MAX_CHARACTERS - len("manufacturer="))
TOO_MUCH = {
    " " * 4000: "write it as field=value",
    " " * (filters.MAX_CHARACTERS + 1): f"may have {filters.MAX_CHARACTERS}",
    f"manufacturer={FULL}0": f"has {filters.MAX_CHARACTERS + 1} characters",
    f"modality={'|' * 10_000}": "10001 alternatives and may have 10000",
    f"label:nodule!={'1|' * 10_000}": "10001 alternatives",
    f"quality.grade={'1|' * 10_000}": "10001 alternatives",
    f"report={'a|' * 10_000}": "10001 alternatives",
    f"label:{'a' * 4097}=1": "4097 characters and may have 4096",
    f"quality.{'a' * 4097}=1": "4097 characters and may have 4096",
    f"{'a' * 4097}=1": "4097 characters and may have 4096",
    f"{'modality' * 400}=1": "there is no field 'modality",
    f"report={'word ' * 201}": "may for 1000: ask for fewer words",
    f"patient_age={'1' * 400}x": "is not a number",
    f"patient_age={'1' * 400}": "is not a number",
    f"study_date={'2020-' * 400}": "is not a date",
    "manufacturer=a\0b": "the character NUL",
    "manufacturer=\ud800": "not UTF-8",
    'quality.a"b=1': "neither quotation mark nor backslash",
    "quality.a\\=1": "neither quotation mark nor backslash",
    "label:=1": "write it as label:NAME=1",
    "label:nodule": "write it as label:NAME=1",
    "label:nodule=1!": "write it as label:NAME=1",
    "quality. =1": "write it as quality.NAME=1",
}


@pytest.mark.parametrize("text", TOO_MUCH, ids=range(len(TOO_MUCH)))
def test_what_is_too_much_is_refused_in_short(text: str) -> None:
    with pytest.raises(CatalogError) as caught:
        filters.parse(text)
    assert caught.value.code == "bad-filter"
    assert TOO_MUCH[text] in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"manufacturer={FULL}",
        f"modality={'CT|' * 9999}MR",
        f"label:{'a' * 4096}=1",
        f"report={'word ' * 199}",
        "\u2003\n modality\t=\x1c CT ",
    ],
    ids=range(5),
)
def test_what_is_as_much_as_it_may_be_is_taken(text: str) -> None:
    filters.parse(text)


def test_a_question_may_have_a_hundred_filters(index: CaseIndex) -> None:
    every_kind = [
        "modality!=a|b",
        "study_description!=a|b",
        "patient_age!=1|2",
        "study_date!=2020|2021-02",
        "image_id!=1|2",
        "report!=a|b",
    ]
    many = [every_kind[number % len(every_kind)] for number in range(filters.MAX_EXPRESSIONS)]
    assert index.studies(many) == []
    with pytest.raises(CatalogError, match="may have 100 filters and this one has 101") as caught:
        index.studies([*many, "modality=CT"])
    assert caught.value.code == "bad-filter"


# As it was parsed before; it takes the cube of the text.
FIELD = re.compile(r"\s*([^=<>!]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
LABEL = re.compile(r"\s*label:\s*(.+?)\s*(!=|<=|>=|=|<|>)\s*([^=<>!]*?)\s*", re.DOTALL)


def test_short_expressions_mean_what_they_meant() -> None:
    from medsiglip.index.catalogue.filter_expression import read

    draw = random.Random(0)
    pieces = ("label:", "label:", "a", "größe", " ", "\n", "=", "<", ">", "!", "|", "\\", ".")
    usable = 0
    for _ in range(20_000):
        text = "".join(draw.choices(pieces, k=draw.randint(1, 8)))
        is_label = text.strip().startswith("label:")
        found = (LABEL if is_label else FIELD).fullmatch(text)
        if found is None or not found[1].strip():
            with pytest.raises(CatalogError):
                read(text)
            continue
        made = read(text)
        assert (made.kind, made.name, made.operator, made.value) == (
            "label" if is_label else "field",
            *found.groups(),
        )
        usable += 1
    assert usable > 3000


def test_long_texts_are_quoted_in_part() -> None:
    assert excerpt("short 'one'") == repr("short 'one'")
    assert excerpt("a" * 200) == f"'{'a' * 80}'... (200 characters)"
