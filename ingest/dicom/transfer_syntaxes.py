"""Transfer syntaxes (PS3.5 section 10 and Annex A) and, for each, its decoders in order of preference with
the reason. A syntax that is not listed here cannot be decoded.

Factors are times of one frame on one core against the first decoder named: real files of 512 x 512 to
4664 x 3064 pixels, each decoder called the fastest way it offers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How the frames of one syntax are stored, and what decodes them.

    `decoders` are names of `medsiglip.ingest.pixels.decoders.DECODERS`: a later one is used only if
    an earlier one is not installed or does not support a kind of frame, never for a damaged frame.
    """

    uid: str
    name: str
    decoders: tuple[str, ...]
    reason: str
    encapsulated: bool = True
    big_endian: bool = False


IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT, DEFLATED, BIG_ENDIAN = IMPLICIT + ".1", IMPLICIT + ".1.99", IMPLICIT + ".2"
RLE = IMPLICIT + ".5"
_JPEG = IMPLICIT + ".4."
_VIEW = "the values are viewed where they lie; pydicom gives the same, slower, and does not know High Bit"
_LOSSY_JPEG = (
    "libjpeg-turbo converts YBR while it decodes: gdcm and pydicom's conversion together take 6 to 15 times "
    "as long for colour and 6 for grey; equal for grey, 1 level apart for colour"
)
_LOSSLESS_JPEG = "equal values; gdcm takes 2 to 4.5 times as long, liblj92 1.2 to 2.2, jpegsof3 1.1 to 2.4"
_JPEG_LS = (
    "both are CharLS; pyjpegls takes 1.1 times as long and refuses a codestream that begins with a fill "
    "byte; gdcm takes 1.7 to 2.5 times as long and refuses 7 bits"
)
_JPEG_2000 = (
    "both are OpenJPEG, which honours signed and odd precisions; through pydicom 1.0 to 1.2 times as long, "
    "pillow 1.0 to 1.8, gdcm 1.1 to 2.9"
)
_HTJ2K = "equal values; OpenJPEG takes 2.6 times as long"

_TABLE = (
    TransferSyntax(IMPLICIT, "Implicit VR Little Endian", ("numpy",), _VIEW, encapsulated=False),
    TransferSyntax(EXPLICIT, "Explicit VR Little Endian", ("numpy",), _VIEW, encapsulated=False),
    TransferSyntax(
        DEFLATED,
        "Deflated Explicit VR Little Endian",
        ("numpy",),
        "the whole data set is inflated when it is read",
        encapsulated=False,
    ),
    TransferSyntax(
        BIG_ENDIAN,
        "Explicit VR Big Endian",
        ("numpy",),
        "bytes are swapped when read",
        encapsulated=False,
        big_endian=True,
    ),
    TransferSyntax(
        IMPLICIT + ".1.98",
        "Encapsulated Uncompressed Explicit VR Little Endian",
        ("numpy",),
        "one native frame in each item (PS3.5 A.4.11)",
    ),
    TransferSyntax(
        IMPLICIT + ".8.1", "Deflated Image Frame Compression", ("zlib",), "no plugin of pydicom knows it"
    ),
    TransferSyntax(
        RLE,
        "RLE Lossless",
        ("imagecodecs-rle",),
        "pylibjpeg takes 1.3 to 2.9 times as long, ends the process over damaged runs and reads no 1 bit; "
        "pydicom's own takes 9 to 22 times as long",
    ),
    TransferSyntax(_JPEG + "50", "JPEG Baseline (Process 1)", ("libjpeg-turbo", "gdcm"), _LOSSY_JPEG),
    TransferSyntax(
        _JPEG + "51",
        "JPEG Extended (Process 2 and 4)",
        ("libjpeg-turbo", "gdcm"),
        _LOSSY_JPEG + "; of 12 bits gdcm and pillow read none",
    ),
    TransferSyntax(
        _JPEG + "57",
        "JPEG Lossless, Non-Hierarchical (Process 14)",
        ("libjpeg-turbo", "gdcm"),
        _LOSSLESS_JPEG,
    ),
    TransferSyntax(
        _JPEG + "70",
        "JPEG Lossless, First-Order Prediction (Process 14, Selection Value 1)",
        ("libjpeg-turbo", "gdcm"),
        _LOSSLESS_JPEG,
    ),
    TransferSyntax(_JPEG + "80", "JPEG-LS Lossless", ("charls", "pyjpegls"), _JPEG_LS),
    TransferSyntax(_JPEG + "81", "JPEG-LS Near-Lossless", ("charls", "pyjpegls"), _JPEG_LS),
    TransferSyntax(_JPEG + "90", "JPEG 2000 (Lossless Only)", ("openjpeg", "pylibjpeg"), _JPEG_2000),
    TransferSyntax(_JPEG + "91", "JPEG 2000", ("openjpeg", "pylibjpeg"), _JPEG_2000),
    TransferSyntax(
        _JPEG + "201", "High-Throughput JPEG 2000 (Lossless Only)", ("openjph", "openjpeg"), _HTJ2K
    ),
    TransferSyntax(
        _JPEG + "202",
        "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)",
        ("openjph", "openjpeg"),
        _HTJ2K,
    ),
    TransferSyntax(
        _JPEG + "203",
        "High-Throughput JPEG 2000",
        ("openjph", "openjpeg"),
        "OpenJPH where the wavelet is reversible; of an irreversible codestream imagecodecs wraps its values "
        "around at black and white instead of limiting them, so OpenJPEG",
    ),
)
TRANSFER_SYNTAXES: dict[str, TransferSyntax] = {syntax.uid: syntax for syntax in _TABLE}
# Implicit and explicit little endian, explicit big endian: they need no decoder (PS3.5 A.1, A.2).
UNCOMPRESSED = frozenset({IMPLICIT, EXPLICIT, BIG_ENDIAN})
# Their frames are native pixels in another dress, whose unused bits and ends may hold anything, and no media
# type stands for them (PS3.18, table 8.7.3-5).
_NATIVE_IN_ITEMS = frozenset({IMPLICIT + ".1.98", IMPLICIT + ".8.1"})


def handed_on_as(uid: str) -> str:
    """The syntax in which frames that are stored in `uid` are handed on: that of codestreams as they are
    stored, all others in Explicit VR Little Endian.
    """
    known = TRANSFER_SYNTAXES.get(uid)
    is_coded = known is not None and known.encapsulated and uid not in _NATIVE_IN_ITEMS
    return uid if is_coded else EXPLICIT
