"""The engine of a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medsiglip.index.errors import excerpt
from medsiglip.ingest.engines.ray_cluster import HERE, names_ray
from medsiglip.ingest.errors import IngestError

if TYPE_CHECKING:
    from medsiglip.ingest.engines.engine import EngineOptions, ImageEncoder, IngestEngine

LOCAL = "local"


def require_engine(name: str) -> None:
    """Raise `IngestError` `unknown-engine` for a name that is none."""
    if name != LOCAL and not names_ray(name):
        raise IngestError(
            "unknown-engine",
            f"There is no engine {excerpt(name)} for an ingest; use {LOCAL}, {HERE} or ray://HOST:PORT.",
        )


def engine_of(name: str, options: EngineOptions, make_encoder: Callable[[], ImageEncoder]) -> IngestEngine:
    """The engine `name`: `local`, `ray` or `ray://HOST:PORT`; nothing is started. `make_encoder` is called
    when there is something to encode; where that is on other machines, it must be picklable.

    Raises `IngestError` `unknown-engine`.
    """
    require_engine(name)
    if name == LOCAL:
        from medsiglip.ingest.engines.local import LocalEngine

        return LocalEngine(options, make_encoder)
    from medsiglip.ingest.engines.ray_engine import RayEngine

    return RayEngine(name, options, make_encoder)
