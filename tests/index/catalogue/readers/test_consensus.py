from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsiglip.index.catalogue.readers.consensus import NOBODY, Given, Opinions

CLASS = Given(1.0, True, "column")


def said(opinions: Opinions, *steps: tuple[str, Mapping[str, Given | None]]) -> dict[str, Given]:
    """The labels of the archive after readers said something, one after the other."""
    for reader, words in steps:
        for change in opinions.changes(reader, words):
            opinions.note(*change)
    return opinions.archive_labels()


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([1.0], 1.0),
        ([0.0], 0.0),
        ([1.0, 0.0], None),
        ([1.0, 0.0, 1.0], 1.0),
        ([1.0, 0.0, 0.0], 0.0),
        ([0.25, 1.0, 0.5], 0.5),
        ([0.25, 1.0], 0.25),
        ([1.0, 0.0, 1.0, 0.0], None),
    ],
)
def test_the_archive_has_what_more_than_half_say(values: Sequence[float], chosen: float | None) -> None:
    opinions = Opinions()
    found = said(opinions, *[(f"r{i}", {"x": Given(value)}) for i, value in enumerate(values)])
    assert found.get("x") == (None if chosen is None else Given(chosen))
    assert opinions.disagrees("x") == (len({value > 0 for value in values}) > 1)


def test_a_class_replaces_the_reader_s_own_and_denies_those_of_others() -> None:
    opinions = Opinions()
    assert said(opinions, ("a", {"naevus": CLASS, "ulcer": Given(1.0)})).keys() == {"naevus", "ulcer"}
    assert said(opinions, ("a", {"melanoma": CLASS})) == {"melanoma": CLASS, "ulcer": Given(1.0)}
    assert said(opinions, ("b", {"naevus": CLASS})) == {"ulcer": Given(1.0)}
    assert opinions.disagrees("melanoma")
    assert said(opinions, ("c", {"melanoma": CLASS})) == {"melanoma": CLASS, "ulcer": Given(1.0)}
    assert said(opinions, ("c", {"melanoma": None})) == {"ulcer": Given(1.0)}


def test_what_nobody_is_named_for_gives_way_and_does_not_come_back_by_files() -> None:
    opinions = Opinions()
    assert said(opinions, (NOBODY, {"naevus": CLASS, "x": Given(0.0)})) == {"naevus": CLASS, "x": Given(0.0)}
    assert said(opinions, ("a", {"x": Given(1.0)})) == {"naevus": CLASS, "x": Given(1.0)}
    assert said(opinions, ("a", {"melanoma": CLASS}))["melanoma"] == CLASS
    assert said(opinions, (NOBODY, {"naevus": CLASS, "x": Given(0.0)})) == {
        "melanoma": CLASS,
        "x": Given(1.0),
    }
    assert said(opinions, ("a", {"x": None})) == {"melanoma": CLASS}
    assert not opinions.disagrees("x")


def test_nothing_is_noted_twice() -> None:
    opinions = Opinions()
    said(opinions, ("a", {"x": Given(1.0)}))
    assert opinions.changes("a", {"x": Given(1.0), "y": None}) == []


values = st.sampled_from([None, 0.0, 1.0])
steps = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"]), values), max_size=12
)


@given(steps)
def test_any_order_of_readers_gives_the_same(taken: list[tuple[str, str, float | None]]) -> None:
    """What counts is the last of each reader: counted here without the order of the others."""
    opinions = Opinions()
    found = said(opinions, *[(r, {n: None if v is None else Given(v)}) for r, n, v in taken])
    last = {(reader, name): value for reader, name, value in taken}
    for name in ("x", "y"):
        held = [value for (_, one), value in last.items() if one == name and value is not None]
        positive = sum(held)
        expected = None if 2 * positive == len(held) else Given(float(2 * positive > len(held)))
        assert found.get(name) == expected
