"""Whether the generators that are configured can write drafts: tried with two pictures, and seldom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.drafts.generator_settings import GeneratorSettings, read_generators
from medsiglip.api.archive.single_flight import HeldAnswer
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings
    from medsiglip.medgemma.generators.generators import Readiness

HELD_SECONDS = 15.0


class GeneratorChecks:
    """The generators of a server's file, each tried in the background; asking never waits for one.

    A generator is tried with pictures every five minutes at most, one that failed every quarter of a minute.
    """

    def __init__(self) -> None:
        self._tried: dict[GeneratorSettings, HeldAnswer[Readiness]] = {}

    def checks(self, settings: Settings) -> list[dict[str, Any]]:
        """One `{"name": "generator:NAME", "ok", "detail", "required": False}` each, in the file's order.

        A detail tells no address and no model, for who asks has no key.
        """
        try:
            known = read_generators(settings)
        except ServiceError as error:
            return [_check("generators", False, error.code)]
        self._tried = {one: self._tried.get(one) or _held(one) for one in known.values()}
        return [self._checked(one) for one in known.values()]

    def _checked(self, generator: GeneratorSettings) -> dict[str, Any]:
        name = f"generator:{generator.name}"
        if generator.kind == "local":
            return _check(name, True, "loaded by the worker when a draft is due; `doctor` tries it")
        found = self._tried[generator].get(0)
        if found is None:
            return _check(name, False, "being tried")
        return _check(name, found.ready, found.code or "tells two pictures apart")


def try_generators(settings: Settings) -> list[dict[str, Any]]:
    """Try each now, also a local one, which loads its model: `{"name", "kind", "model", "ok", "code",
    "message"}`. Raises ServiceError `bad-generators` for a file that cannot be used.
    """
    tried = []
    for one in read_generators(settings).values():
        found = _try(one)
        described = {"name": one.name, "kind": one.kind, "model": one.model}
        tried.append({**described, "ok": found.ready, "code": found.code, "message": found.message})
    return tried


def _held(generator: GeneratorSettings) -> HeldAnswer[Readiness]:
    from medsiglip.medgemma.generators.readiness import RememberedReadiness

    return HeldAnswer(RememberedReadiness(lambda: _try(generator)), HELD_SECONDS)


def _try(generator: GeneratorSettings) -> Readiness:
    from medsiglip.medgemma.errors import DraftError
    from medsiglip.medgemma.generators.generators import Readiness

    try:
        return generator.make().ready()
    except (DraftError, ServiceError) as error:
        return Readiness(False, error.code, str(error))


def _check(name: str, ok: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail, "required": False}
