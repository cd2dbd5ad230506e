"""The engine of a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medsiglip.ingest.errors import IngestError

if TYPE_CHECKING:
    from medsiglip.ingest.engines.engine import EngineOptions, ImageEncoder, IngestEngine

LOCAL = "local"


def engine_of(name: str, options: EngineOptions, make_encoder: Callable[[], ImageEncoder]) -> IngestEngine:
    """The engine `name`; nothing is started. `make_encoder` is called when there is something to encode.

    Raises `IngestError` `unknown-engine`.
    """
    if name == LOCAL:
        from medsiglip.ingest.engines.local import LocalEngine

        return LocalEngine(options, make_encoder)
    raise IngestError("unknown-engine", f"There is no engine {name!r} for an ingest; use {LOCAL}.")
