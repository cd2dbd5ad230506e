"""Whether a PACS gives a study again with the same pixels. That it lists the same UIDs proves nothing: UIDs
are used twice, and a list is not a picture.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.api.archive.pacs.comparing import LINE_CODES, fetch_study
from medsiglip.api.archive.pacs.landing import Arrival, Landing
from medsiglip.ingest.errors import DecodeError, PacsError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.ingest.pacs.client import PacsClient
    from medsiglip.ingest.pixels.pixel_hash import PixelHash
    from medsiglip.ingest.privacy.deidentify import SecretKey


def gives_the_same(archive: OpenedArchive, client: PacsClient, name: str, study_instance_uid: str) -> bool:
    """Fetch a study and compare the pixels of every instance that the index has of it; what was fetched is
    deleted again. False also for a PACS that sends it elsewhere (C-MOVE), where nothing can be compared.

    Raises PacsError where the PACS cannot be asked at all.
    """
    from medsiglip.ingest.privacy.deidentify import bound_key

    if getattr(client, "retrieves_elsewhere", False):
        return False
    wanted = {
        (one.sop_instance_uid, one.pixel_hash)
        for _, one in archive.index.instances.of_study(study_instance_uid)
    }
    landing = Landing.begin(archive.home, Arrival(name, study_instance_uid, purpose="fetch"))
    try:
        try:
            fetch_study(client, study_instance_uid, landing.folder)
        except PacsError as error:
            if error.code in LINE_CODES:
                raise
            return False
        key = bound_key(archive.index)
        for path in landing.files():
            wanted -= _identities(path, key)
        return not wanted
    finally:
        landing.discard()


def _identities(path: Path, key: SecretKey) -> set[tuple[str, str]]:
    """SOP Instance UID and pixel hash of a file, as stored now and as earlier versions stored it."""
    from medsiglip.ingest.files.walk import FoundFile
    from medsiglip.ingest.reasons import Rejected
    from medsiglip.ingest.scan.scan import scan_file

    state = path.stat()
    header = scan_file(FoundFile(str(path), state.st_size, state.st_mtime_ns), key)
    if isinstance(header, Rejected):
        return set()
    with suppress(DecodeError, OSError):
        found = _hash(path, is_slide=header.is_slide)
        return {(header.sop_instance_uid, one) for one in found if one is not None}
    return set()


def _hash(path: Path, *, is_slide: bool) -> PixelHash:
    from medsiglip.ingest.pixels.decode import open_dataset, pixel_hash
    from medsiglip.ingest.privacy.quiet import quiet

    with quiet():
        if not is_slide:
            return pixel_hash(open_dataset(str(path)), older=True)
        from medsiglip.ingest.slides.tiles import open_tiles

        with closing(open_tiles(str(path))) as tiles:
            return tiles.pixel_hash(older=True)
