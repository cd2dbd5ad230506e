"""The places of the frames of a file, for which its top-level elements are not enough."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from medsiglip.ingest.units.mosaic import is_mosaic, tile_count, tile_places

if TYPE_CHECKING:
    from medsiglip.ingest.header.header import Header


def needs_frame_places(header: Header) -> bool:
    """Whether `with_frame_places` has something to add: several frames of CT, MR or PET, or a mosaic."""
    return header.is_volume and (header.number_of_frames > 1 or is_mosaic(header.image_type))


def with_frame_places(header: Header) -> Header:
    """Add the places of the frames of an enhanced image, or the tiles of a mosaic, to its header.

    The file is read again, without its pixels. Never raises for what it holds: if it cannot be parsed, the
    header is unchanged, and the file is rendered frame by frame in stored order.
    """
    from medsiglip.ingest.files.source import open_source
    from medsiglip.ingest.header.functional_groups import frame_places
    from medsiglip.ingest.pixels.dataset_file import read_dataset
    from medsiglip.ingest.privacy.quiet import quiet

    try:
        with quiet():
            with open_source(header.path) as file:
                dataset = read_dataset(file, stop_before_pixels=True)
            if header.number_of_frames > 1:
                places = frame_places(dataset, header.number_of_frames)
                if not places:
                    return header
                return replace(
                    header,
                    frames=places,
                    position=header.position or places[0].position,
                    orientation=header.orientation or places[0].orientation,
                )
            tiles = tile_count(dataset)
            if not tiles or not header.frames:
                return header
            return replace(header, tiles=tiles, frames=tile_places(dataset, tiles, header.frames[0]))
    except Exception:  # whatever pydicom raises for malformed groups
        return header
