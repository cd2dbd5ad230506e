"""Images whose pictures an earlier version drew, and this one would draw otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from medsiglip.index.records import Hit, RenderingCount

_CURE = "`index reembed` renews them"


def is_outdated(rendering: str, version: int) -> bool:
    """Whether a rendering draws otherwise since `version`; of unknown renderings nothing can be told."""
    from medsiglip.ingest.render.renderings import version_of

    try:
        return version < version_of(rendering)
    except KeyError:
        return False


def count_outdated(renderings: Iterable[RenderingCount]) -> int:
    """How many of the counted images are outdated."""
    return sum(one.images for one in renderings if is_outdated(one.rendering, one.version))


def outdated_warnings(hits: Iterable[Hit]) -> tuple[str, ...]:
    """What to say of hits that are outdated."""
    found = sum(is_outdated(hit.rendering, hit.rendering_version) for hit in hits)
    if not found:
        return ()
    return (
        f"{found} of the hits were embedded by an earlier version, which drew their pictures otherwise, so "
        f"their scores may be off; {_CURE}.",
    )
