"""Prompt templates: TOML files in `medgemma/templates/`, named by their file's name.

::

    kind = "pictures"                 # pictures | volume | pair
    modalities = ["CR", "DX"]         # Modality (0008,0060); left out: any
    body_parts = ["CHEST"]            # by any spelling of Body Part Examined (0018,0015); left out: any
    system = "You are ..."            # left out: no system turn
    instruction = "..."               # opens the user turn
    question = "..."                  # closes it, after the last picture (volume)
    label = "SLICE {n}"               # of each picture: after it in a volume, before it otherwise
    most_pictures = 85
    fewest_pictures = 8               # with fewer a draft is not worth making, unless there are no more
    reply_tokens = 500
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from medsiglip.medgemma.errors import DraftError
from medsiglip.regions.vocabulary import Regions, regions_of_body_part

Kind = Literal["pictures", "volume", "pair"]


@dataclass(frozen=True, slots=True)
class Template:
    """The wording and order of one kind of prompt; the module's text describes the fields."""

    name: str
    kind: Kind
    instruction: str
    label: str
    most_pictures: int
    reply_tokens: int
    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    system: str | None = None
    question: str | None = None
    fewest_pictures: int = 1

    def fits(self, modality: str | None, regions: Regions) -> bool:
        """Whether pictures of this modality and these parts of the body may be shown with it."""
        if self.modalities and (modality is None or modality.strip().upper() not in self.modalities):
            return False
        return not self.body_parts or any(
            not regions.isdisjoint(regions_of_body_part(one)) for one in self.body_parts
        )


@cache
def templates() -> dict[str, Template]:
    """The bundled templates by name, in alphabetical order."""
    folder = resources.files("medsiglip.medgemma") / "templates"
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda e: e.name
    )
    found = {}
    for entry in files:
        fields = tomllib.loads(entry.read_text(encoding="utf-8"))
        for key in ("modalities", "body_parts"):
            fields[key] = tuple(fields.get(key, ()))
        name = entry.name.removesuffix(".toml")
        found[name] = Template(name=name, **fields)
    return found


def template(name: str) -> Template:
    """The template of this name. Raises DraftError `template-unknown`."""
    known = templates()
    if name not in known:
        raise DraftError(
            "template-unknown", f"There is no prompt template '{name}'; choose one of {', '.join(known)}."
        )
    return known[name]
