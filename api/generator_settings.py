"""The generators that may be named: `evidence-only`, and those of a TOML file, one table for each::

[medgemma]
kind = "openai"                      # any server of OpenAI's chat completions
url = "http://127.0.0.1:8000/v1"
model = "google/medgemma-1.5-4b-it"
key_file = "/run/secrets/generator"  # left out: no key is sent
context_tokens = 32768
most_pictures = 85
show_burned_in = false               # true: pictures that may name the patient are shown to it, too
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.errors import ServiceError
from medgemma.rules import EVIDENCE_ONLY

if TYPE_CHECKING:
    from api.settings import Settings
    from medgemma.generators import Generator

_FIELDS: dict[str, type] = {
    "kind": str,
    "url": str,
    "model": str,
    "key_file": str,
    "context_tokens": int,
    "most_pictures": int,
    "show_burned_in": bool,
}


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """One table of the file, checked."""

    name: str
    url: str
    model: str
    key_file: Path | None = None
    context_tokens: int = 32_768
    most_pictures: int = 85
    show_burned_in: bool = False

    def make(self) -> Generator:
        """The generator; no connection is made yet. Raises ServiceError `bad-generators`."""
        from medgemma.budget import Budget
        from medgemma.openai_server import OpenAIServer, ServerOptions

        budget = Budget(self.context_tokens, self.most_pictures)
        return OpenAIServer(self.url, self.model, budget, ServerOptions(api_key=self._key()))

    def _key(self) -> str | None:
        if self.key_file is None:
            return None
        try:
            return self.key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ServiceError(
                "bad-generators", f"the key of generator {self.name} in {self.key_file} cannot be read."
            ) from None


def generator_named(settings: Settings, name: str) -> GeneratorSettings | None:
    """The generator of this name, None for `evidence-only`. Raises ServiceError `unknown-generator` and
    `bad-generators`.
    """
    if name == EVIDENCE_ONLY:
        return None
    known = read_generators(settings)
    if name not in known:
        names = ", ".join([EVIDENCE_ONLY, *known])
        raise ServiceError("unknown-generator", f"there is no generator {name!r}: choose one of {names}.")
    return known[name]


def read_generators(settings: Settings) -> dict[str, GeneratorSettings]:
    """The generators of the file, by name; none where the home has no such file."""
    file = settings.generators or settings.home / "generators.toml"
    if settings.generators is None and not file.is_file():
        return {}
    try:
        tables = tomllib.loads(Path(file).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or "unknown cause").lower()
        raise ServiceError("bad-generators", f"{file} cannot be read: {reason}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServiceError("bad-generators", f"{file} is not TOML: {error}.") from None
    return {name: _checked(file, name, table) for name, table in tables.items()}


def _checked(file: Path, name: str, table: Any) -> GeneratorSettings:
    if not isinstance(table, dict) or name == EVIDENCE_ONLY:
        raise ServiceError("bad-generators", f"{file}: {name!r} is no table of a generator.")
    for key, value in table.items():
        if key not in _FIELDS or type(value) is not _FIELDS[key]:
            wanted = ", ".join(f"{field} ({kind.__name__})" for field, kind in _FIELDS.items())
            raise ServiceError("bad-generators", f"{file}: {key!r} of {name} cannot be used; use {wanted}.")
    if table.get("kind", "openai") != "openai" or "url" not in table or "model" not in table:
        raise ServiceError("bad-generators", f'{file}: {name} needs kind = "openai", a url and a model.')
    given = {key: value for key, value in table.items() if key not in ("kind", "key_file")}
    key_file = table.get("key_file")
    return GeneratorSettings(
        name, key_file=None if key_file is None else Path(key_file).expanduser(), **given
    )
