"""Headers and images of files of which none may be rejected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medsiglip.ingest.files.walk import FoundFile, walk
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.header.metadata import PictureMetadata
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import PlanOptions
from medsiglip.ingest.workers.render_files import Rendered, render_files

KEY = SecretKey(bytes(32))


def found_files(*paths: str | Path) -> list[FoundFile]:
    """What `walk` finds under the paths."""
    files = list(walk(paths))
    found = [file for file in files if isinstance(file, FoundFile)]
    assert len(found) == len(files), files
    return found


def headers_of(
    *paths: str | Path, key: SecretKey = KEY, metadata: PictureMetadata | None = None
) -> list[Header]:
    """What `scan_file` makes of the files under the paths."""
    scanned = [scan_file(file, key, metadata) for file in found_files(*paths)]
    headers = [header for header in scanned if isinstance(header, Header)]
    assert len(headers) == len(scanned), scanned
    return headers


def images_of(paths: Sequence[str | Path], options: PlanOptions | None = None) -> list[Rendered]:
    """What `render_files` makes of the files under the paths."""
    rendered = list(render_files(paths, options))
    images = [image for image in rendered if isinstance(image, Rendered)]
    assert len(images) == len(rendered), rendered
    return images
