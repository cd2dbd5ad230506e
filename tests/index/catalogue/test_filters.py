"""A table of expressions and the images that they must choose."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue import filters
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from tests.index.conftest import Catalogue
from tests.index.index_cases import count_images, make_bundle, unit_vectors

# One image each, named by its study number.
CASES: dict[int, tuple[dict[str, Any], ...]] = {
    1: ({"patient_sex": "F", "patient_age": 60.0, "study_date": "2019-12-31"}, {"modality": "CT"}, {}),
    2: ({"patient_sex": "M", "patient_age": 59.5, "study_date": "2020-01-01"}, {"modality": "MR"}, {}),
    3: (
        {
            "patient_sex": None,
            "patient_age": None,
            "study_date": None,
            "study_description": "a=b|c Thorax üÄ",
        },
        {
            "modality": "DX",
            "view_position": "PA",
            "laterality": "",
            "manufacturer": "O'Neill; DROP TABLE images",
        },
        {"quality": {"sharpness": 0.25, "burned_in": True, "grade": "poor"}, "frame": 3},
    ),
    4: (
        {"patient_sex": "O", "patient_age": 7.0, "study_date": "2020-02-29", "study_description": "1 = 1"},
        {"modality": None, "view_position": "AP"},
        {"quality": {"sharpness": 2.5, "burned_in": False, "grade": "good"}, "rendering": "ct-rgb-3window"},
    ),
}
TABLE = {
    "modality=CT": {1},
    "modality=ct": {1},
    " modality = CT | MR ": {1, 2},
    "modality!=CT": {2, 3, 4},
    "modality!=CT|MR": {3, 4},
    "modality=": {4},
    "modality!=": {1, 2, 3},
    "modality=C": set(),
    "modality=%": set(),
    "laterality=": {1, 2, 3, 4},
    "view_position=PA|AP": {3, 4},
    "patient_sex!=F": {2, 3, 4},
    "patient_age>=60": {1},
    "patient_age>59.5": {1},
    "patient_age<60": {2, 4},
    "patient_age<=59.5": {2, 4},
    "patient_age=7|60": {1, 4},
    "patient_age=": {3},
    "patient_age!=7": {1, 2, 3},
    "patient_age=6e1": {1},
    "study_date=2020": {2, 4},
    "study_date=2020-02": {4},
    "study_date=20200229": {4},
    "study_date>2019": {2, 4},
    "study_date>=2019": {1, 2, 4},
    "study_date<2020": {1},
    "study_date<=2020-01": {1, 2},
    "study_date!=2020": {1, 3},
    "study_date=2019|2020-02-29": {1, 4},
    "study_description=a=b\\|c Thorax üÄ": {3},
    "study_description=a=b|c Thorax üÄ": set(),
    "study_description=1 = 1": {4},
    "manufacturer=O'Neill; DROP TABLE images": {3},
    "modality=CT' OR '1'='1": set(),
    "study_instance_uid=2.25.2": {2},
    "series_instance_uid=2.25.2.0": {2},
    "sop_instance_uid=2.25.2.0.0|2.25.3.0.0": {2, 3},
    "patient_key=patient-4": {4},
    "pixel_hash=a-1-0-0": {1},
    "rendering!=voi": {4},
    "frame>1": {3},
    "rows>=512": {1, 2, 3, 4},
    "columns=512": {1, 2, 3, 4},
    "photometric_interpretation=monochrome2": {1, 2, 3, 4},
    "quality.sharpness<1": {3},
    "quality.sharpness>=0.25": {3, 4},
    "quality.sharpness!=2.5": {1, 2, 3},
    "quality.sharpness=": {1, 2},
    "quality.grade=poor": {3},
    "quality.grade!=poor": {1, 2, 4},
    "quality.grade=0": set(),
    "quality.grade<1": set(),
    "quality.grade!=0": {1, 2, 3, 4},
    "quality.grade=good|0": {4},
    "quality.sharpness=poor": set(),
    "quality.sharpness=true": set(),
    "quality.burned_in=true": {3},
    "quality.burned_in!=true": {1, 2, 4},
    "label:nodule=1": {1},
    "label:nodule=0": {2},
    "label:nodule!=1": {2, 3, 4},
    "label:nodule=": {3, 4},
    "label:nodule!=": {1, 2},
    "label:nodule>=0": {1, 2},
    "label:nodule=0|1": {1, 2},
    "label:grade >= 2 = x=1": {3},
    "label: größe <3": {4},
    "study_description~thorax": {3},
    "study_description~THORAX|1 =": {3, 4},
    "study_description^=1": {4},
    "study_description^=horax": set(),
    "study_description~%": set(),
    "study_description~_": set(),
    "modality~m": {2},
    "modality^=d|c": {1, 3},
    "series_instance_uid^=2.25.3.": {3},
    "not modality=CT": {2, 3, 4},
    "not modality!=CT": {1},
    "not patient_age>=60": {2, 3, 4},
    "not study_description~thorax": {1, 2, 4},
    "not label:nodule=1": {2, 3, 4},
    "not quality.sharpness<1": {1, 2, 4},
    "modality=CT or patient_sex=O": {1, 4},
    "modality=CT|MR or frame>1 or label:nodule=0": {1, 2, 3},
    "not modality=CT or patient_age=60": {1, 2, 3, 4},
    "modality=CT or not quality.sharpness=": {1, 3, 4},
    "patient_sex=F or study_date=2020-02": {1, 4},
    "label:grade >= 2 = x=1 or modality=MR": {2, 3},
    "study_description=this or that": set(),
    "view_position=PA or": set(),
}


@pytest.fixture(scope="module")
def index(
    tmp_path_factory: pytest.TempPathFactory, make_catalogue: Callable[[], Catalogue]
) -> Iterator[CaseIndex]:
    home: Path = tmp_path_factory.mktemp("filters") / "home"
    instance = {"rows": 512, "columns": 512, "photometric_interpretation": "MONOCHROME2"}
    bundles = [
        make_bundle(
            number,
            1,
            study_fields=study,
            series_fields=series,
            image_fields=image,
            instance_fields=instance,
        )
        for number, (study, series, image) in CASES.items()
    ]
    with make_catalogue().open_migrated(home) as opened:
        opened.add(bundles, unit_vectors(count_images(bundles)))
        opened.labels.put(
            [
                LabelRecord("nodule", 0, "study_instance_uid", "2.25.1"),
                LabelRecord("nodule", 1, "series_instance_uid", "2.25.1.0"),
                LabelRecord("nodule", 0, "path", "/data/2/0/0.dcm"),
                LabelRecord("nodule", 1, "sop_instance_uid", "2.25.2.0.0"),
                LabelRecord("grade >= 2 = x", 1, "study_instance_uid", "2.25.3"),
                LabelRecord("größe", 2.5, "study_instance_uid", "2.25.4"),
            ]
        )
        yield opened


def numbers(index: CaseIndex, where: Sequence[str]) -> set[int]:
    """The numbers of the studies whose images pass."""
    return {int(uid.rsplit(".", 1)[1]) for uid in index.table("image", where).study_instance_uids}


@pytest.mark.long(every=4)
@pytest.mark.parametrize("expression", TABLE)
def test_known_answers(index: CaseIndex, expression: str) -> None:
    assert numbers(index, [expression]) == TABLE[expression]
    assert {int(one.study_instance_uid.rsplit(".", 1)[1]) for one in index.studies([expression])} == TABLE[
        expression
    ]


def test_repeated_means_and(index: CaseIndex) -> None:
    assert index.table("image", ["study_date=2020", "patient_sex=M"]).study_instance_uids == ("2.25.2",)
    assert index.table("image", ["study_date=2020", "patient_sex=F"]).study_instance_uids == ()


@pytest.mark.parametrize("expression", [e for e in TABLE if "=" in e and not set("<>^~") & set(e)])
def test_not_equal_is_exactly_the_rest(index: CaseIndex, expression: str) -> None:
    several = " or " in expression or expression.startswith("not ")
    if "!=" not in expression and not several and not expression.startswith("label:grade"):
        chosen = set(index.table("image", [expression]).study_instance_uids)
        rest = set(index.table("image", [expression.replace("=", "!=", 1)]).study_instance_uids)
        assert chosen | rest == {f"2.25.{number}" for number in CASES}
        assert not chosen & rest


BAD = {
    "modalty=CT": "modality",
    "sex=F": "patient_sex",
    "Modality=CT": "modality",
    "zzz=1": "body_part_examined",
    "modality": "field=value",
    "": "field=value",
    "=CT": "field=value",
    "modality>CT": "one number or date",
    "patient_age>old": "not a number",
    "patient_age=nan": "not a number",
    "patient_age>": "one number or date",
    "patient_age>1|2": "one number or date",
    "study_date>2020-13": "not a date",
    "study_date=2020-02-30": "not a date",
    "study_date=2020-00": "not a date",
    "study_date=yesterday": "not a date",
    "label:nodul=1": "nodule",
    "label:nodule=many": "not a number",
    "patient_age~6": "looks into texts, and this is a number",
    "study_date^=2020": "looks into texts, and this is a date",
    "study_description~": "needs a text to look for",
    "study_description~" + "|".join("abcdefghijklmnopqrstuv"): "looks for 22 texts and may for 20",
    "label:nodule~1": "label:NAME=1",
    "report~fluid": "use = or !=",
    "not": "field=value",
    "modality=CT or patient_age>old": "not a number",
    "modality=CT or label:nodul=1": "nodule",
    "not quality.sharpnes<1": "did you mean sharpness?",
    "quality.sharpnes<1": "did you mean sharpness? There are: burned_in, grade, sharpness",
}


def test_expressions_are_joined_and_denied(index: CaseIndex) -> None:
    draw = random.Random(3)
    single = [one for one in TABLE if " or" not in one and not one.startswith("not ")]
    for _ in range(150):
        parts = [(draw.random() < 0.4, one) for one in draw.sample(single, draw.randint(1, 4))]
        asked = " or ".join(f"{'not ' * negated}{text.strip()}" for negated, text in parts)
        expected = set().union(*(CASES.keys() - TABLE[one] if no else TABLE[one] for no, one in parts))
        assert numbers(index, [asked]) == expected, asked


def test_as_many_expressions_are_joined_as_a_question_may_have(index: CaseIndex) -> None:
    many = [f"frame={number}" for number in range(filters.MAX_EXPRESSIONS)]
    assert numbers(index, [" or ".join(many)]) == set(CASES)
    with pytest.raises(CatalogError, match="may have 100 filters and this one has 101"):
        index.studies([" or ".join([*many, "modality=CT"])])


@pytest.mark.parametrize("expression", BAD)
def test_what_cannot_be_used_is_said_in_one_sentence(index: CaseIndex, expression: str) -> None:
    with pytest.raises(CatalogError) as caught:
        index.studies([expression])
    assert caught.value.code == "bad-filter"
    assert BAD[expression] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_string_in_place_of_a_list_is_a_mistake_of_the_program(index: CaseIndex) -> None:
    with pytest.raises(TypeError):
        index.studies("modality=CT")


@pytest.mark.parametrize("url", ["sqlite://", "postgresql://"])
def test_values_and_names_never_become_sql(url: str) -> None:
    for expression in ("manufacturer='; DROP TABLE images", "label:'; DROP=1", "quality.'; DROP=x"):
        text = str(filters.parse(expression).condition.compile(dialect=make_url(url).get_dialect()()))
        assert "DROP" not in text


def test_every_field_is_documented_by_a_column_of_that_name() -> None:
    for name, (column, _) in filters.FIELDS.items():
        assert name in (column.name, "image_id")
