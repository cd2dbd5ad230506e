"""Which form of an answer a client accepts (PS3.18, section 8.7): media types with transfer syntaxes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request

from medsiglip.api.errors import ServiceError
from medsiglip.ingest.dicom.transfer_syntaxes import EXPLICIT, IMPLICIT, handed_on_as

DICOM_JSON = "application/dicom+json"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"
RELATED = "multipart/related"
_JPEG = IMPLICIT + ".4."
# The media types of frames by their transfer syntax (PS3.18, table 8.7.3-5).
_CODED = {
    **dict.fromkeys((_JPEG + "50", _JPEG + "51", _JPEG + "57", _JPEG + "70"), "image/jpeg"),
    **dict.fromkeys((_JPEG + "80", _JPEG + "81"), "image/jls"),
    **dict.fromkeys((_JPEG + "90", _JPEG + "91"), "image/jp2"),
    **dict.fromkeys((_JPEG + "201", _JPEG + "202", _JPEG + "203"), "image/jphc"),
    IMPLICIT + ".5": "image/dicom-rle",
}
_NATIVE = frozenset((EXPLICIT, IMPLICIT))
# Header fields are short; of a longer one the rest is not read.
_LONGEST = 4096
_RANGE = re.compile(r'(?:"[^"]*"|[^,"])+')
_PARAMETER = re.compile(r';\s*([A-Za-z-]+)\s*=\s*(?:"([^"]*)"|([^;,"\s]*))')


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One alternative of Accept; `part` is the type of the parts of `multipart/related`, `syntax` may be
    `*`.
    """

    kind: str
    part: str
    syntax: str
    weight: float


@dataclass(frozen=True, slots=True)
class Form:
    """The form of frames or files: the media type of each, whether they come in parts, and whether they are
    decoded.
    """

    media_type: str
    in_parts: bool
    decode: bool


def accepted(request: Request) -> list[MediaRange]:
    """The alternatives of the header Accept, those with the greatest weight first."""
    field = request.headers.get("accept", "").strip()[:_LONGEST] or "*/*"
    found = [_range(one) for one in _RANGE.findall(field)]
    return sorted((one for one in found if one.weight > 0), key=lambda one: -one.weight)


def _range(text: str) -> MediaRange:
    kind = text.partition(";")[0].strip().lower()
    given = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(text)}
    try:
        weight = float(given.get("q", 1))
    except ValueError:
        weight = 0.0
    return MediaRange(kind, given.get("type", "").lower(), given.get("transfer-syntax", ""), weight)


def require_json(request: Request) -> MediaRange:
    """The alternative that DICOM JSON is accepted by. Raises ServiceError `not-acceptable`."""
    for one in accepted(request):
        if one.kind in ("*/*", "application/*", DICOM_JSON, "application/json"):
            return one
    raise ServiceError("not-acceptable", f"the answer is {DICOM_JSON}: accept that.")


def of_decoded_frames(request: Request) -> bool:
    """Whether the client asks for metadata of native frames (PS3.18, section 8.7.3: DICOM JSON, too, may
    name a transfer syntax). Raises ServiceError `not-acceptable`.
    """
    return require_json(request).syntax in _NATIVE


def chosen(request: Request, offered: Sequence[str]) -> str:
    """The first of `offered` that is accepted best. Raises ServiceError `not-acceptable`."""
    for one in accepted(request):
        for kind in offered:
            if one.kind in (kind, "*/*", f"{kind.partition('/')[0]}/*"):
                return kind
    raise ServiceError("not-acceptable", f"the answer is one of {', '.join(offered)}: accept one of these.")


def form_of_frames(request: Request, syntax: str, *, single: bool) -> Form:
    """How frames that are stored in `syntax` are sent; `single` tells that one frame may come without parts.

    Without a transfer syntax `application/octet-stream` means native pixels. Raises ServiceError
    `not-acceptable`.
    """
    stored = handed_on_as(syntax)
    for one in accepted(request):
        in_parts = one.kind in (RELATED, "multipart/*", "*/*")
        if not in_parts and not single:
            continue
        kind = (one.part or OCTETS) if in_parts else one.kind
        if kind in (OCTETS, "application/*", "*/*"):
            form = _octets(one.syntax, stored)
            if form is not None:
                return Form(OCTETS, in_parts, form)
        elif stored in _CODED and kind in (_CODED[stored], "image/*") and one.syntax in ("", "*", stored):
            return Form(_CODED[stored], in_parts, False)
    raise ServiceError(
        "not-acceptable",
        f'these frames are stored in the transfer syntax {stored}: accept {RELATED}; type="{OCTETS}"; '
        "transfer-syntax=* for them as they are, or without transfer-syntax for native pixels.",
    )


def form_of_files(request: Request, syntax: str, *, single: bool) -> Form:
    """How DICOM files are sent, as `form_of_frames` for frames."""
    stored = handed_on_as(syntax)
    for one in accepted(request):
        in_parts = one.kind in (RELATED, "multipart/*", "*/*")
        if not in_parts and not single:
            continue
        kind = (one.part or DICOM) if in_parts else one.kind
        if kind in (DICOM, "application/*", "*/*"):
            form = _octets(one.syntax, stored)
            if form is not None:
                return Form(DICOM, in_parts, form)
    raise ServiceError(
        "not-acceptable",
        f'DICOM files are sent as {RELATED}; type="{DICOM}", with transfer-syntax=* as they are stored, or '
        "without it as Explicit VR Little Endian.",
    )


def _octets(asked: str, stored: str) -> bool | None:
    """Whether frames are decoded for a client that asks for this syntax; None if it cannot have it."""
    if asked in ("*", stored):
        return False
    return True if asked in ("", *_NATIVE) else None


def sent_syntax(form: Form, syntax: str) -> str:
    """The transfer syntax of what is sent in this form."""
    return EXPLICIT if form.decode else handed_on_as(syntax)
