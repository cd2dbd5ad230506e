"""The generators that may be named: `evidence-only`, and those of a TOML file, one table for each::

[medgemma]
kind = "openai"                      # any server of OpenAI's chat completions
url = "http://127.0.0.1:8000/v1"
model = "google/medgemma-1.5-4b-it"
key_file = "/run/secrets/generator"  # left out: no key is sent
context_tokens = 32768
most_pictures = 85
tokens_per_picture = 256
thinking_tokens = 0                  # added to every reply, for a model that thinks first
pairs = true                         # prior and current picture together; left out: for MedGemma 1.5 alone
show_burned_in = false               # true: pictures that may name the patient are shown to it, too

[here]
kind = "local"                       # transformers in the worker, the extra `medgemma`
model = "/models/medgemma-4b-it"     # a folder or a hub id
device = "auto"                      # auto | cpu | cuda | cuda:N
precision = "bfloat16"               # bfloat16 | float32; left out: bfloat16 on a GPU, float32 on a CPU
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.medgemma.routing.rules import EVIDENCE_ONLY
from medsiglip.toml_file import TomlError, parse_toml, toml_bytes

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings
    from medsiglip.medgemma.generators.generators import Generator
    from medsiglip.medgemma.prompting.budget import Budget

MAX_NAME = 64
"""Characters of a generator's name."""
_FIELDS: dict[str, type] = {
    "kind": str,
    "model": str,
    "context_tokens": int,
    "most_pictures": int,
    "tokens_per_picture": int,
    "thinking_tokens": int,
    "pairs": bool,
    "show_burned_in": bool,
}
_FIELDS_OF_KIND: dict[str, dict[str, type]] = {
    "openai": {"url": str, "key_file": str},
    "local": {"device": str, "precision": str},
}
_NEEDS = 'needs kind = "openai", a url and a model, or kind = "local" and a model.'


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """One table of the file, checked."""

    name: str
    model: str
    kind: str = "openai"
    url: str = ""
    key_file: Path | None = None
    device: str = "auto"
    precision: str | None = None
    context_tokens: int = 32_768
    most_pictures: int = 85
    tokens_per_picture: int = 256
    thinking_tokens: int = 0
    pairs: bool | None = None
    show_burned_in: bool = False

    def make(self) -> Generator:
        """The generator; no connection is made and no model loaded yet. A local one is kept, and its model
        with it, until another is made. Raises ServiceError `bad-generators`.
        """
        if self.kind == "local":
            return _local(self)
        from medsiglip.medgemma.generators.openai_server import OpenAIServer, ServerOptions

        return OpenAIServer(self.url, self.model, self.budget(), ServerOptions(api_key=self._key()))

    def budget(self) -> Budget:
        """What a prompt may take. Raises ServiceError `bad-generators` for a number that cannot be."""
        from medsiglip.medgemma.prompting.budget import Budget

        try:
            return Budget(
                self.context_tokens,
                self.most_pictures,
                self.tokens_per_picture,
                self.thinking_tokens,
                "medgemma-1.5" in self.model.lower() if self.pairs is None else self.pairs,
            )
        except ValueError as error:
            raise ServiceError("bad-generators", f"{error} for generator {self.name}.") from None

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
        raise ServiceError(
            "unknown-generator", f"there is no generator {excerpt(name)}: choose one of {names}."
        )
    return known[name]


def read_generators(settings: Settings) -> dict[str, GeneratorSettings]:
    """The generators of the file, by name; none where the home has no such file."""
    file = settings.generators or settings.home / "generators.toml"
    if settings.generators is None and not file.is_file():
        return {}
    try:
        tables = parse_toml(toml_bytes(Path(file).expanduser()))
    except OSError as error:
        reason = (error.strerror or "unknown cause").lower()
        raise ServiceError("bad-generators", f"{file} cannot be read: {reason}.") from None
    except TomlError as error:
        raise ServiceError("bad-generators", f"{file} is not TOML: {error}.") from None
    return {name: _checked(file, name, table) for name, table in tables.items()}


@lru_cache(maxsize=1)
def _local(settings: GeneratorSettings) -> Generator:
    from medsiglip.medgemma.generators.local_pipeline import LocalOptions, LocalPipeline

    return LocalPipeline(settings.model, settings.budget(), LocalOptions(settings.device, settings.precision))


def _checked(file: Path, name: str, table: Any) -> GeneratorSettings:
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.generators.local_pipeline import checked_precision

    if not isinstance(table, dict) or name == EVIDENCE_ONLY:
        raise ServiceError("bad-generators", f"{file}: {excerpt(name)} is no table of a generator.")
    if len(name) > MAX_NAME:
        raise ServiceError(
            "bad-generators", f"{file}: a generator's name may have {MAX_NAME} characters, not {len(name)}."
        )
    kind = table.get("kind", "openai")
    if isinstance(kind, str) and kind not in _FIELDS_OF_KIND:
        raise ServiceError("bad-generators", f"{file}: {name} {_NEEDS}")
    fields = _FIELDS | (_FIELDS_OF_KIND[kind] if isinstance(kind, str) else {})
    for key, value in table.items():
        if key not in fields or type(value) is not fields[key]:
            wanted = ", ".join(f"{field} ({kind.__name__})" for field, kind in fields.items())
            raise ServiceError(
                "bad-generators", f"{file}: {excerpt(key)} of {name} cannot be used; use {wanted}."
            )
    if "model" not in table or (kind == "openai" and "url" not in table):
        raise ServiceError("bad-generators", f"{file}: {name} {_NEEDS}")
    given = dict(table)
    if "key_file" in table:
        given["key_file"] = Path(table["key_file"]).expanduser()
    checked = GeneratorSettings(name, **given)
    try:
        checked_precision(checked.precision)
    except DraftError as error:
        raise ServiceError("bad-generators", f"{file}: precision of {name}: {error}") from None
    checked.budget()
    return checked
