from __future__ import annotations

import pytest

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.kinds import MODULES, generator_kind, read_generator


@pytest.mark.parametrize("name", MODULES)
def test_each_module_describes_its_kind(name: str) -> None:
    kind = generator_kind(name)
    assert kind.name == name
    assert {*kind.required, *kind.checks} <= kind.fields.keys()


def test_settings_are_those_of_every_kind_and_of_the_kind() -> None:
    table = {"model": "m", "url": "http://x", "most_pictures": 4, "show_burned_in": True}
    settings = read_generator("near", table)
    assert (settings.kind.name, settings.own) == ("openai", (("url", "http://x"),))
    assert (settings.budget.most_pictures, settings.budget.pairs) == (4, False)
    assert settings.show_burned_in
    assert settings == read_generator("near", dict(table))
    with pytest.raises(DraftError, match='kind = "openai", a url and a model, or kind = "local" and a model'):
        read_generator("near", {"model": "m"})
