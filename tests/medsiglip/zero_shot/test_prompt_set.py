"""The parts of the body and the patients of a prompt set, as its file gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsiglip.errors import ModelError
from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set
from medsiglip.zero_shot.prompt_set import Population

FILE = """
kind = "findings"
where = ["modality=CR|DX"]
{set}
[prompts.fracture]
absent = ["no fracture"]
present = ["fracture"]
{finding}
"""


def load(folder: Path, of_set: str = "", of_finding: str = "") -> object:
    path = folder / "bones.toml"
    path.write_text(FILE.format(set=of_set, finding=of_finding))
    return load_prompt_set(path)


def test_regions_and_population_are_those_of_the_set_unless_a_finding_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "bones.toml"
    path.write_text(
        FILE.format(set='regions = ["HAND", "foot"]\npopulation = { minimum_age = 16 }', finding="")
    )
    found = load_prompt_set(path)
    assert found.regions == found.prompts["fracture"].regions == {"hand", "foot"}
    assert found.population == found.prompts["fracture"].population == Population(16)
    own = 'regions = ["foot"]\npopulation = { minimum_age = 2, maximum_age = 15.5 }'
    path.write_text(FILE.format(set='regions = ["HAND", "foot"]', finding=own))
    found = load_prompt_set(path)
    assert found.prompts["fracture"].regions == {"foot"}
    assert found.prompts["fracture"].population == Population(2, 15.5)


@pytest.mark.parametrize(
    ("of_set", "of_finding", "named"),
    [
        ("regions = []", "", "'regions' must be a list of texts"),
        ('regions = ["table"]', "", "'regions' holds 'table', which is no part of the body"),
        ('regions = ["hand"]', 'regions = ["foot"]', "holds foot, which is not among the set's own regions"),
        ("population = 16", "", "'population' must be a table"),
        ("population = { minimum_age = true }", "", "must be years from 0 to 150"),
        ("population = { age = 3 }", "", "'population.age' is not a key"),
        ("population = { minimum_age = 9, maximum_age = 3 }", "", "minimum_age above its maximum_age"),
        ("", "population = { minimum_age = -1 }", "'prompts.fracture.population.minimum_age'"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, of_set: str, of_finding: str, named: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(tmp_path, of_set, of_finding)
    assert caught.value.code == "prompt-set-invalid"
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('kind = "findings"\n[prompts.x]\nabsent = ["..."]\npresent = ["x"]', "a text of 'x' holds no word"),
        ('kind = "findings"\n[prompts.x]\nabsent = ["X."]\npresent = ["x"]', "'x' has the same texts"),
        ('kind = "classes"\n[prompts]\na = ["x"]\nb = ["X!"]', "classes 'a' and 'b' are the same"),
        ('kind = "names"\nnames = ["Acne", "acne"]', "classes 'Acne' and 'acne' are the same"),
    ],
)
def test_texts_that_the_model_cannot_tell_apart_are_named(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(ModelError) as caught:
        load_prompt_set(path)
    assert caught.value.code == "prompt-set-invalid"
    assert str(caught.value).startswith(f"{path}: ")
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("age", "fits"), [(None, True), (15.9, False), (16, True), (30, True), (40, True), (41, False)]
)
def test_a_population_has_its_ages(age: float | None, fits: bool) -> None:
    assert Population(16, 40).fits(age) == fits
    assert str(Population(16, 40)) == "16 to 40 years"


def test_every_bundled_set_of_findings_says_what_it_is_about() -> None:
    sets = [load_prompt_set(name) for name in list_prompt_sets()]
    findings = [prompts for one in sets if one.kind == "findings" for prompts in one.prompts.values()]
    assert len(findings) > 20
    assert all(one.regions and one.population.minimum_age == 16 for one in findings)
