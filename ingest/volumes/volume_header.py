"""The headers of NIfTI, NRRD and MetaImage files, and the hash of their content.

Only the grid is kept: `descrip`, `db_name` and other free text may name a patient.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from medsiglip.ingest.header.header import Header, as_kept, plain_header
from medsiglip.ingest.header.quality import picture_quality
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.privacy.quiet import quiet
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.volumes.volume_beginning import begins_like_a_volume
from medsiglip.ingest.volumes.volume_layout import VolumeLayout
from medsiglip.ingest.volumes.volume_reader import open_volume
from medsiglip.ingest.volumes.volume_source import beginning_of, suffix_of, volume_hash

if TYPE_CHECKING:
    from medsiglip.ingest.files.walk import FoundFile
    from medsiglip.ingest.header.metadata import PictureMetadata


def scan_volume(found: FoundFile, key: SecretKey, metadata: PictureMetadata) -> Header | Rejected:
    """The header of a file with the name of a volume; never raises for what it holds.

    UIDs come from the hash of its content, the rest from its row of the metadata CSV, as for a picture.
    """
    try:
        beginning = beginning_of(found.path)
        if not begins_like_a_volume(suffix_of(found.path), beginning):
            return Rejected(found.path, "undecodable-volume" if beginning else "empty-file")
        with quiet(), open_volume(found.path) as (_, layout):
            pass
        digest = volume_hash(found.path)
    except OverflowError:
        return Rejected(found.path, "picture-too-large")
    except PermissionError:
        return Rejected(found.path, "permission-denied")
    except (OSError, RuntimeError, ValueError, EOFError, zlib.error):
        return Rejected(found.path, "undecodable-volume")
    return as_kept(_header(found, key, metadata, layout, digest), key)


def _header(
    found: FoundFile, key: SecretKey, metadata: PictureMetadata, layout: VolumeLayout, digest: str
) -> Header:
    quality = picture_quality(8, metadata)
    return replace(
        plain_header(found, digest, metadata, key),
        kind="volume",
        photometric_interpretation="RGB" if layout.is_rgb else "MONOCHROME2",
        rows=layout.rows,
        columns=layout.columns,
        number_of_frames=layout.slices * layout.volumes,
        orientation=layout.orientation,
        quality={
            **quality,
            "bits_stored": 8.0 * layout.dtype.itemsize,
            "pixel_aspect": round(layout.pixel_aspect, 4),
        },
        volumes=layout.volumes,
    )
