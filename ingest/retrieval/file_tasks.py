"""What a worker does with one file for somebody who retrieves it: `RenderingPool.perform` carries it out.

All raise `DecodeError` with a code of `medsiglip.ingest.reasons`, and these: `burned-in` where the pixels
may name the patient and were not asked for all the same, `no-frame` for a frame that is not there, and
`no-bulk-data`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medsiglip.ingest.dicom.transfer_syntaxes import EXPLICIT
from medsiglip.ingest.errors import DecodeError, decode_error
from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.header.header_texts import HeaderTexts
from medsiglip.ingest.pixels.dataset_file import read_dataset
from medsiglip.ingest.pixels.image_pixel import ImagePixel
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.privacy.quiet import quiet
from medsiglip.ingest.retrieval.data_element import DataElement, as_json, bytes_at, text
from medsiglip.ingest.retrieval.deidentified import Deidentifier
from medsiglip.ingest.retrieval.drawn_frame import Drawing, drawn
from medsiglip.ingest.retrieval.frame_source import (
    FrameSource,
    checked_elements,
    frame_bytes,
    frame_source,
    has_embedded_overlay,
    is_encapsulated,
    may_show,
    stored_pixels,
    syntax_of,
)
from medsiglip.ingest.retrieval.instance_facts import InstanceFacts, InstanceFile
from medsiglip.ingest.retrieval.part_10 import file_head

if TYPE_CHECKING:
    from pydicom import Dataset

# One answer of a worker holds about so many bytes of frames, one frame at least.
MOST_BYTES = 16 << 20
PIXEL_DATA = {"PixelData": 0x7FE00010, "FloatPixelData": 0x7FE00008, "DoubleFloatPixelData": 0x7FE00009}


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames in the order asked for, as many as fit into `MOST_BYTES`, and the syntax that they are in."""

    syntax: str
    parts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FileHead:
    """A DICOM file up to the value of its pixel data, which consists of so many frames, each in an item of
    its own if it is `encapsulated`.
    """

    content: bytes
    frames: int
    encapsulated: bool


@dataclass(frozen=True, slots=True)
class MetadataTask:
    """The header as DICOM JSON, in UTF-8; `bulk_data` is the address below which its bulk data lie. With
    `decode` it describes decoded frames, which codestreams of colours differ from.
    """

    file: InstanceFile
    facts: InstanceFacts
    key: SecretKey
    bulk_data: str
    decode: bool = False

    def perform(self) -> bytes:
        """Read the file."""
        with quiet():
            found, image, syntax = _header(self.file, self.facts, self.key, decode=self.decode)
        found[0x00083002] = text("UI", EXPLICIT if self.decode else syntax)
        shown = as_json(found, lambda place: f"{self.bulk_data}/{'/'.join(map(_place, place))}")
        tag = PIXEL_DATA[image.keyword]
        vr = {"PixelData": "OW" if image.bits_allocated > 8 else "OB", "FloatPixelData": "OF"}
        shown[f"{tag:08X}"] = {
            "vr": vr.get(image.keyword, "OD"),
            "BulkDataURI": f"{self.bulk_data}/{tag:08X}",
        }
        return json.dumps(shown, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class BulkDataTask:
    """The bytes of one element by the path of its BulkDataURI, of tags and numbers of items in turn."""

    file: InstanceFile
    facts: InstanceFacts
    key: SecretKey
    place: tuple[int, ...]

    def perform(self) -> bytes:
        """Read the file."""
        with quiet():
            found, _, _ = _header(self.file, self.facts, self.key)
        value = bytes_at(found, self.place)
        if value is None:
            raise DecodeError("no-bulk-data")
        return value


@dataclass(frozen=True, slots=True)
class FramesTask:
    """Frames, counted from 0; `decode` asks for native values also where they are stored as codestreams."""

    file: InstanceFile
    key: SecretKey
    frames: tuple[int, ...]
    decode: bool
    show_burned_in: bool = False

    def perform(self) -> Frames:
        """Read the file."""
        parts: list[bytes] = []
        size = 0
        with _shown_frames(self.file, self.key, self.show_burned_in) as (source, image):
            _refuse_overlay(self.file, source.header, self.decode or self.show_burned_in)
            if any(not 0 <= frame < image.number_of_frames for frame in self.frames):
                raise DecodeError("no-frame")
            for frame in self.frames:
                parts.append(frame_bytes(source, image, frame, decode=self.decode))
                size += len(parts[-1])
                if size >= MOST_BYTES:
                    break
            syntax = EXPLICIT if self.decode else syntax_of(source.header)
        return Frames(syntax, tuple(parts))


@dataclass(frozen=True, slots=True)
class FileHeadTask:
    """The head of a DICOM file with the header as it is handed on."""

    file: InstanceFile
    facts: InstanceFacts
    key: SecretKey
    decode: bool
    show_burned_in: bool = False

    def perform(self) -> FileHead:
        """Read the file."""
        with _shown_frames(self.file, self.key, self.show_burned_in) as (source, image):
            _refuse_overlay(self.file, source.header, self.decode or self.show_burned_in)
            encapsulated = is_encapsulated(source.header) and not self.decode
            syntax = syntax_of(source.header) if encapsulated else EXPLICIT
        with quiet():
            found, _, _ = _header(self.file, self.facts, self.key, decode=self.decode)
        size = None if encapsulated else image.samples * image.dtype.itemsize * image.number_of_frames
        tag = PIXEL_DATA[image.keyword]
        return FileHead(file_head(found, syntax, tag, size), image.number_of_frames, encapsulated)


@dataclass(frozen=True, slots=True)
class DrawTask:
    """A frame, counted from 0, None for the middle one, as a picture for a screen."""

    file: InstanceFile
    key: SecretKey
    frame: int | None
    drawing: Drawing
    show_burned_in: bool = False

    def perform(self) -> bytes:
        """Read the file."""
        with _shown_frames(self.file, self.key, self.show_burned_in) as (source, image):
            frame = image.number_of_frames // 2 if self.frame is None else self.frame
            if not 0 <= frame < image.number_of_frames:
                raise DecodeError("no-frame")
            return drawn(source, frame, self.drawing)


def _place(number: int) -> str:
    """A tag, or the number of an item."""
    return f"{number:08X}" if number > 0xFFFF else str(number)


@contextmanager
def _shown_frames(
    file: InstanceFile, key: SecretKey, show_burned_in: bool
) -> Iterator[tuple[FrameSource, ImagePixel]]:
    """The frames of a file that is still the same, and that may be shown."""
    with quiet():
        if not may_show(checked_elements(file, key)) and not show_burned_in:
            raise DecodeError("burned-in")
        with frame_source(file.path) as source:
            yield source, stored_pixels(source.header)


def _refuse_overlay(file: InstanceFile, header: Dataset, is_without: bool) -> None:
    """Refuse codestreams with an overlay in their values, which decoding leaves out."""
    # The header that comes with the pixels may lack other groups.
    if not is_without and is_encapsulated(header) and has_embedded_overlay(_read(file.path)):
        raise DecodeError("burned-in")


def _header(
    file: InstanceFile, facts: InstanceFacts, key: SecretKey, *, decode: bool = False
) -> tuple[dict[int, DataElement], ImagePixel, str]:
    """The header as it is handed on, how its pixels are stored, and the syntax of its frames."""
    elements = checked_elements(file, key)
    header = _read(file.path)
    texts = HeaderTexts(elements, "strict" if key.phi == "strict" else "pseudonymous")
    found = Deidentifier(key, texts).data_set(header, facts)
    image = stored_pixels(header)
    native = decode or not is_encapsulated(header)
    if native:
        found.update(_native_pixels(image))
    return found, image, syntax_of(header)


def _read(path: str) -> Dataset:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    try:
        with open_source(path) as file:
            header = read_dataset(file, stop_before_pixels=True)
    except DecodeError:
        raise
    except OSError:
        raise decode_error("unreadable-file") from None
    except Exception:  # whatever pydicom raises for a damaged header
        raise decode_error("unreadable-header") from None
    if not header.file_meta.get("TransferSyntaxUID"):
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return header


def _native_pixels(image: ImagePixel) -> dict[int, DataElement]:
    """The Image Pixel module of frames as `frame_bytes` gives them."""
    found = {
        0x00280100: DataElement("US", (8 * image.dtype.itemsize,)),
        0x00280101: DataElement("US", (image.bits_stored,)),
        0x00280102: DataElement("US", (image.bits_stored - 1,)),
    }
    if image.samples_per_pixel == 3:
        found[0x00280004] = text("CS", "RGB")
        found[0x00280006] = DataElement("US", (0,))
    return found
