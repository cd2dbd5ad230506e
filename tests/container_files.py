"""`docker-compose.yml` and `Dockerfile` as values."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.repository import ROOT

COMPOSE = ROOT / "docker-compose.yml"


def compose(**environment: str) -> dict[str, Any]:
    """The compose file, with `${NAME:-default}` replaced in its values, as Compose does it."""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [filled(one) for one in value]
        if not isinstance(value, str):
            return value
        value = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: environment.get(match[1]) or match[2], value)
        assert "$" not in value
        return value

    made: dict[str, Any] = filled(yaml.safe_load(COMPOSE.read_text()))
    return made


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """What a service finds where: paths in the container, and the volume, secret, config or folder there."""
    found: dict[str, str] = {}
    for volume in service.get("volumes", ()):
        if isinstance(volume, str):
            source, target = volume.split(":")[:2]
            found[target] = source
        else:
            found[volume["target"]] = volume["source"]
    found |= {f"/run/secrets/{name}": name for name in service.get("secrets", ())}
    return found | {one["target"]: one["source"] for one in service.get("configs", ())}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile: each instruction and its words, comments and continuations of lines taken out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in whole if line.strip())]


def words(rest: str) -> list[str]:
    """The words of an instruction in its JSON form."""
    given = json.loads(rest)
    assert isinstance(given, list)
    return given
