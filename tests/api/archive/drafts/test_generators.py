"""The file of generators: what may stand in it, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsiglip.api.archive.drafts.generators import generator_named, read_generators
from medsiglip.api.errors import ServiceError
from medsiglip.api.settings import Settings
from medsiglip.medgemma.errors import DraftError

GOOD = """
[medgemma]
kind = "openai"
url = "http://127.0.0.1:8000/v1"
model = "google/medgemma-4b-it"
key_file = "KEY"
most_pictures = 4
"""


def settings(home: Path, content: str) -> Settings:
    (home / "generators.toml").write_text(content.replace("KEY", str(home / "key")))
    return Settings(home=home)


def test_a_generator_is_made_as_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    found = generator_named(settings(tmp_path, GOOD), "medgemma")
    assert found is not None
    assert found.show_burned_in is False
    made = found.make()
    assert (made.name, made.budget.most_pictures) == ("google/medgemma-4b-it", 4)
    assert "secret" not in repr(made) + repr(found)


def test_evidence_only_needs_no_file(tmp_path: Path) -> None:
    assert generator_named(Settings(home=tmp_path), "evidence-only") is None
    assert read_generators(Settings(home=tmp_path)) == {}
    with pytest.raises(ServiceError, match="choose one of evidence-only") as caught:
        generator_named(Settings(home=tmp_path), "medgemma")
    assert caught.value.code == "unknown-generator"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("x", "is not TOML"),
        ("x = 1", "'x' is no table"),
        ("[evidence-only]", "'evidence-only' is no table"),
        ('[a]\nurl = "http://x"', "needs kind"),
        ('[a]\nkind = "magic"\nurl = "http://x"\nmodel = "m"', "needs kind"),
        ('[a]\nurl = "http://x"\nmodel = 3', "'model' of a cannot be used"),
        ('[a]\nurl = "http://x"\nmodel = "m"\nmodle = "m"', "'modle' of a cannot be used"),
        ('[a]\nkind = "local"', 'kind = "local" and a model'),
        ('[a]\nkind = ["local"]\nmodel = "m"', "'kind' of a cannot be used"),
        ('[a]\nkind = "local"\nmodel = "m"\nurl = "http://x"', "'url' of a cannot be used"),
        ('[a]\nurl = "http://x"\nmodel = "m"\nprecision = "float32"', "'precision' of a cannot be used"),
        ('[a]\nkind = "local"\nmodel = "m"\nprecision = "float16"', "float16 overflows"),
        ('[a]\nurl = "http://x"\nmodel = "m"\nmost_pictures = 0', "most_pictures must be at least 1"),
        ('[a]\nurl = "http://x"\nmodel = "m"\nthinking_tokens = -1', "thinking_tokens must not be negative"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: str, named: str) -> None:
    with pytest.raises(ServiceError, match=named) as caught:
        read_generators(settings(tmp_path, content))
    assert caught.value.code == "bad-generators"


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    found = generator_named(settings(tmp_path, GOOD), "medgemma")
    assert found is not None
    with pytest.raises(DraftError, match="key of generator medgemma") as caught:
        found.make()
    assert caught.value.code == "bad-generators"


def test_a_local_generator_is_kept_and_loads_nothing_yet(tmp_path: Path) -> None:
    text = '[here]\nkind = "local"\nmodel = "/nowhere"\nprecision = "bfloat16"\ncontext_tokens = 8192\n'
    found = generator_named(settings(tmp_path, text), "here")
    assert found is not None
    made = found.make()
    assert (made.name, made.budget.context_tokens) == ("/nowhere", 8192)
    again = generator_named(Settings(home=tmp_path), "here")
    assert again is not None
    assert again.make() is made


@pytest.mark.parametrize(
    ("model", "more", "pairs"),
    [
        ("google/medgemma-4b-it", "", False),
        ("google/medgemma-1.5-4b-it", "", True),
        ("mine", "pairs = true", True),
        ("google/medgemma-1.5-4b-it", "pairs = false", False),
    ],
)
def test_pairs_are_shown_to_what_was_taught_them(tmp_path: Path, model: str, more: str, pairs: bool) -> None:
    text = f'[a]\nurl = "http://x"\nmodel = "{model}"\n{more}\nthinking_tokens = 900\n'
    found = generator_named(settings(tmp_path, text), "a")
    assert found is not None
    assert (found.make().budget.pairs, found.budget.thinking_tokens) == (pairs, 900)
