"""Generator `large-slide-v1`: a slide of any size, written tile by tile."""

from io import BytesIO
from math import ceil, isqrt
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, VLWholeSlideMicroscopyImageStorage

NAME = "large-slide-v1"
TILE = 512
KINDS_OF_TILES = 16


def write_large_slide(path: Path, size: int) -> None:
    """Write a TILED_FULL slide of uncompressed RGB tiles of 512 x 512, stained all over, of at least `size`
    bytes (below 4 GiB: the length of Pixel Data has 32 bits).
    """
    count = ceil(size / (3 * TILE * TILE))
    across = isqrt(count - 1) + 1
    down = ceil(count / across)
    rng = np.random.default_rng(0)
    noise = rng.integers(-40, 40, (KINDS_OF_TILES, TILE, TILE, 3))
    tiles = [tile.tobytes() for tile in (np.array((150, 60, 140)) + noise).astype(np.uint8)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(_header(down, across))
        for number in range(down * across):
            file.write(tiles[rng.integers(KINDS_OF_TILES)] if number else tiles[0])


def _header(down: int, across: int) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("2.25.53")
    spacing, shared = Dataset(), Dataset()
    spacing.PixelSpacing = [0.0005, 0.0005]
    shared.PixelMeasuresSequence = [spacing]
    values = {
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "StudyInstanceUID": "2.25.51",
        "SeriesInstanceUID": "2.25.52",
        "Modality": "SM",
        "PatientID": "S1",
        "StudyDate": "20240131",
        "DimensionOrganizationType": "TILED_FULL",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "NumberOfFrames": down * across,
        "Rows": TILE,
        "Columns": TILE,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "TotalPixelMatrixRows": down * TILE,
        "TotalPixelMatrixColumns": across * TILE,
        "SharedFunctionalGroupsSequence": [shared],
        "PixelData": b"",
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OB"
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    length = 3 * TILE * TILE * down * across
    return stream.getvalue()[:-4] + length.to_bytes(4, "little")
