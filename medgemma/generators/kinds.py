"""The kinds of generators, and the settings of one generator as a table of TOML::

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
timeouts = { connect = 5, first_token = 180, between_tokens = 30, total = 600 }   # seconds
retries = 3                          # how often a request that failed is sent again, 0 to 20
streaming = true                     # false: the reply is awaited whole
picture_format = "png"               # png | jpeg, about a tenth of the bytes
ca_file = "/etc/ssl/hospital.pem"    # certificates (PEM) trusted beside the system's
headers = { X-Key = { file = "/run/secrets/gateway" }, X-Department = "radiology" }   # sent in addition
body = { top_k = 64 }                # further fields of the request's JSON
check_prompt_tokens = true           # false: for a server that does not count its pictures

[here]
kind = "local"                       # transformers in the worker, the extra `medgemma`
model = "/models/medgemma-4b-it"     # a folder or a hub id
device = "auto"                      # auto | cpu | cuda | cuda:N
precision = "bfloat16"               # bfloat16 | float32; left out: bfloat16 on a GPU, float32 on a CPU
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from medsiglip.index.errors import excerpt
from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.generators import GeneratorKind, GeneratorSettings
from medsiglip.medgemma.prompting.budget import Budget

MODULES = {"openai": "openai_server", "local": "local_pipeline"}
"""The module of this folder for each kind, which it describes in its constant `KIND`."""
_DEFAULT = "openai"
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
"""The settings of every kind."""
_TYPES: dict[type, str] = {str: "text", int: "whole number", bool: "true or false", dict: "table"}


def generator_kind(name: str) -> GeneratorKind:
    """Return the kind of this name, one of `MODULES`."""
    kind: GeneratorKind = import_module(f"medsiglip.medgemma.generators.{MODULES[name]}").KIND
    return kind


def read_generator(name: str, table: Mapping[str, Any]) -> GeneratorSettings:
    """Check the settings of one generator. Raises DraftError `bad-generators`."""
    kind_name = table.get("kind", _DEFAULT)
    if isinstance(kind_name, str) and kind_name not in MODULES:
        raise _bad(f"{name} {_needs()}")
    own = generator_kind(kind_name).fields if isinstance(kind_name, str) else {}
    known = {**_FIELDS, **own}
    for key, value in table.items():
        if key not in known or type(value) is not known[key]:
            wanted = ", ".join(f"{field} ({_TYPES[kind]})" for field, kind in known.items())
            raise _bad(f"{excerpt(key)} of {name} cannot be used; use {wanted}.")
    kind = generator_kind(kind_name)
    if any(field not in table for field in ("model", *kind.required)):
        raise _bad(f"{name} {_needs()}")
    for field in table.keys() & kind.checks.keys():
        try:
            kind.checks[field](table[field])
        except DraftError as error:
            raise _bad(f"{field} of {name}: {error}") from None
    given = tuple((field, _hashable(table[field])) for field in kind.fields if field in table)
    return GeneratorSettings(
        name, kind, table["model"], _budget(name, table), table.get("show_burned_in", False), given
    )


def _hashable(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _budget(name: str, table: Mapping[str, Any]) -> Budget:
    given = {field.name: table[field.name] for field in fields(Budget) if field.name in table}
    given.setdefault("pairs", "medgemma-1.5" in table["model"].lower())
    try:
        return Budget(**given)
    except ValueError as error:
        raise _bad(f"{error} for generator {name}.") from None


def _needs() -> str:
    ways = []
    for name in MODULES:
        *first, last = [
            f'kind = "{name}"',
            *(f"a {field}" for field in generator_kind(name).required),
            "a model",
        ]
        ways.append(f"{', '.join(first)} and {last}")
    return f"needs {', or '.join(ways)}."


def _bad(message: str) -> DraftError:
    return DraftError("bad-generators", message)
