"""The generators of a service: read from a TOML file, and tried with two pictures.

The file has one table for each generator, `[NAME]`, with the settings described in
`medsiglip.medgemma.generators.kinds`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.single_flight import SingleFlight
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.toml_file import TomlError, parse_toml, toml_bytes

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings
    from medsiglip.medgemma.generators.generators import GeneratorSettings, Readiness

MAX_NAME = 64
"""Characters of a generator's name."""
HELD_SECONDS = 15.0


def generator_named(settings: Settings, name: str) -> GeneratorSettings | None:
    """The generator of this name, None for `evidence-only`. Raises ServiceError `unknown-generator` and
    `bad-generators`.
    """
    from medsiglip.medgemma.generators.evidence_only import EVIDENCE_ONLY

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
    """The generators of the file, by name; none where the home has no such file. Raises ServiceError
    `bad-generators`.
    """
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


def _checked(file: Path, name: str, table: Any) -> GeneratorSettings:
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.generators.evidence_only import EVIDENCE_ONLY
    from medsiglip.medgemma.generators.kinds import read_generator

    if not isinstance(table, dict) or name == EVIDENCE_ONLY:
        raise ServiceError("bad-generators", f"{file}: {excerpt(name)} is no table of a generator.")
    if len(name) > MAX_NAME:
        raise ServiceError(
            "bad-generators", f"{file}: a generator's name may have {MAX_NAME} characters, not {len(name)}."
        )
    try:
        return read_generator(name, table)
    except DraftError as error:
        raise ServiceError(error.code, f"{file}: {error}") from None


class GeneratorChecks:
    """The generators of a server's file, each tried in the background; `checks` never waits for one.

    A generator is tried with pictures every five minutes at most, one that failed every quarter of a minute.
    """

    def __init__(self) -> None:
        self._tried: dict[GeneratorSettings, SingleFlight[Readiness]] = {}

    def checks(self, settings: Settings) -> list[dict[str, Any]]:
        """One `{"name": "generator:NAME", "ok", "detail", "required": False}` each, in the file's order.

        A detail names no address and no model, because the check needs no key.
        """
        try:
            known = read_generators(settings)
        except ServiceError as error:
            return [_check("generators", False, error.code)]
        self._tried = {one: self._tried.get(one) or _held(one) for one in known.values()}
        return [self._checked(one) for one in known.values()]

    def _checked(self, generator: GeneratorSettings) -> dict[str, Any]:
        name = f"generator:{generator.name}"
        if generator.kind.in_process:
            return _check(name, True, "loaded by the worker when a draft is due; `doctor` tries it")
        found = self._tried[generator].get(0)
        if found is None:
            return _check(name, False, "being tried")
        return _check(name, found.ready, found.code or "tells two pictures apart")


def try_generators(settings: Settings) -> list[dict[str, Any]]:
    """Try each now, also one that loads its model for that: `{"name", "kind", "model", "ok", "code",
    "message"}`. Raises ServiceError `bad-generators` for a file that cannot be used.
    """
    tried = []
    for one in read_generators(settings).values():
        found = _try(one)
        described = {"name": one.name, "kind": one.kind.name, "model": one.model}
        tried.append({**described, "ok": found.ready, "code": found.code, "message": found.message})
    return tried


def _held(generator: GeneratorSettings) -> SingleFlight[Readiness]:
    from medsiglip.medgemma.generators.readiness import RememberedReadiness

    return SingleFlight(RememberedReadiness(lambda: _try(generator)), HELD_SECONDS)


def _try(generator: GeneratorSettings) -> Readiness:
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.generators.generators import Readiness

    try:
        return generator.make().ready()
    except DraftError as error:
        return Readiness(False, error.code, str(error))


def _check(name: str, ok: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail, "required": False}
