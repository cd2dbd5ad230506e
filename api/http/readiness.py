"""Whether this server can do its work: each part is tried out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.api.archive.drafts.generators import GeneratorChecks
from medsiglip.api.archive.single_flight import SingleFlight
from medsiglip.api.errors import ServiceError, explain

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive

HELD_SECONDS = 2.0
WAIT_SECONDS = 5.0
ENGINE_SECONDS = 2.0
_TEXT = "chest radiograph"
_UNIT_TOLERANCE = 1e-2  # bfloat16 has 8 bits


class Readiness:
    """The checks of one server; concurrent requests share one round of them."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._generators = GeneratorChecks()
        self._engine = SingleFlight(lambda: _check("vector_engine", self._by_engine), HELD_SECONDS)
        self._held = SingleFlight(self._examine, HELD_SECONDS)

    def report(self) -> dict[str, Any]:
        """`{"ready": bool, "checks": [{"name", "ok", "detail", "required"}]}`, at most `HELD_SECONDS` old;
        a check that hangs counts as not ready. Generators are not required: everything but their drafts works
        without them; nor is a vector engine, without which exact searches work.
        """
        found = self._held.get(WAIT_SECONDS)
        if found is None:
            detail = f"the checks did not end within {WAIT_SECONDS:g} s"
            found = {"ready": False, "checks": [_outcome("checks", False, detail)]}
        return found

    def _examine(self) -> dict[str, Any]:
        parts = {
            "database": self._database,
            "disk": self._disk,
            "encoder": self._encoder,
            "search": self._search,
        }
        checks = [_check(name, part) for name, part in parts.items()]
        ready = all(check["ok"] for check in checks)
        checks += self._vector_engine()
        return {"ready": ready, "checks": checks + self._generators.checks(self._archive.settings)}

    def _vector_engine(self) -> list[dict[str, Any]]:
        """Not required, and in a thread of its own: what an engine that hangs does not hold up."""
        if self._archive.settings.vector_url is None:
            return []
        found = self._engine.get(ENGINE_SECONDS)
        if found is None:
            found = _outcome("vector_engine", False, f"did not answer within {ENGINE_SECONDS:g} s")
        return [{**found, "required": False}]

    def _database(self) -> str:
        self._archive.index.audit.head()
        self._archive.index.health.check_writable()
        return "answers"

    def _disk(self) -> str:
        free = shutil.disk_usage(self._archive.home).free
        needed = self._archive.settings.min_free_bytes
        if free < needed:
            raise ServiceError(
                "disk-full", f"{free >> 20} MiB are free, less than the {needed >> 20} MiB of min_free_bytes."
            )
        return f"{free >> 20} MiB free"

    def _encoder(self) -> str:
        encoder = self._archive.encoder
        state = getattr(encoder, "state", None)
        if state is not None and state.name != "ready":
            raise ServiceError("encoder-restarting", f"the model is {state.name}.")
        size = encoder.image_size
        image = encoder.encode_images(_picture(size))[0]
        text = encoder.encode_texts([_TEXT])[0]
        if any(abs(float(np.linalg.norm(vector)) - 1) > _UNIT_TOLERANCE for vector in (image, text)):
            raise ServiceError("bad-encoder", "the model's vectors are not of unit length.")
        return f"encoded a picture of {size} pixels and a text"

    def _search(self) -> str:
        index = self._archive.index
        if index.space is None:
            return "the archive holds nothing yet"
        query = index.sample_vectors(1)
        if not len(query):
            return "the archive holds nothing yet"
        if self._archive.settings.vector_url is not None:
            if abs(float(np.linalg.norm(query[0])) - 1) > _UNIT_TOLERANCE:
                raise ServiceError("bad-search", "a stored vector is not of unit length.")
            return "read a stored vector"
        return self._found(query)

    def _found(self, query: Any) -> str:
        index = self._archive.index
        hits = index.search(query[:1], k=1)[0]
        if not hits or hits[0].score < 1 - _UNIT_TOLERANCE:
            raise ServiceError("bad-search", "a stored image was not found by its own vector.")
        return "found a stored image by its vector"

    def _by_engine(self) -> str:
        index = self._archive.index
        query = np.empty(0) if index.space is None else index.sample_vectors(1)
        return self._found(query) if len(query) else "the archive holds nothing yet"


def _check(name: str, part: Callable[[], str]) -> dict[str, Any]:
    try:
        return _outcome(name, True, part())
    except Exception as error:
        explanation = explain(error)
        # Other messages may name folders and databases, and this one needs no key to be read.
        own = isinstance(error, ServiceError)
        detail = str(error) if own else explanation.code if explanation else "failed unexpectedly"
        return _outcome(name, False, detail)


def _outcome(name: str, ok: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail, "required": True}


def _picture(size: int) -> Any:
    """A fixed picture, uint8 [1, S, S, 3]: a gradient from black to white."""
    row = np.linspace(0, 255, size).astype(np.uint8)
    return np.broadcast_to(row[None, None, :, None], (1, size, size, 3)).copy()
