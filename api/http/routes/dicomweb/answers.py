"""Answers of several parts (RFC 2046, section 5.1; RFC 2387), and what all answers of DICOMweb share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from medsiglip.api.archive.dicomweb.retrieval import Resource, Retrieval, Survey
from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.routes.dicomweb.accepted import RELATED
from medsiglip.names import LONGEST_IN_URL, UID

PREFIX = "/dicom-web"
SeriesPath = Annotated[
    str, Path(min_length=1, max_length=LONGEST_IN_URL, pattern=UID, description="SeriesInstanceUID")
]
InstancePath = Annotated[
    str, Path(min_length=1, max_length=LONGEST_IN_URL, pattern=UID, description="SOPInstanceUID")
]
ShowBurnedIn = Annotated[bool, Query(description="include what may bear a name in its pixels; for `admin`")]
# Frames of a case stay as they are; a browser may ask again for those that it has shown.
CACHED = {"Cache-Control": "private, max-age=300"}


def base_url(request: Request) -> str:
    """The address of this DICOMweb service, without a slash at its end.

    Some clients leave the port out of the header Host, contrary to RFC 9110, section 7.2; it is added unless
    a proxy may have changed the header.
    """
    url = request.base_url
    server = request.scope.get("server")
    if (
        url.port is None
        and server is not None
        and server[1] not in (None, 80, 443)
        and not _is_passed_on(request)
    ):
        url = url.replace(port=server[1])
    return f"{str(url).rstrip('/')}{PREFIX}"


def _is_passed_on(request: Request) -> bool:
    return any(name in ("forwarded", "via") or name.startswith("x-") for name in request.headers)


def retrieved(
    request: Request,
    archive: OpenedArchive,
    caller: Caller,
    resource: Resource,
    *,
    show_burned_in: bool = False,
) -> Retrieval:
    """The retrieval of a resource, recorded as a part of opening its study."""
    found = Retrieval(archive, resource, show_burned_in=show_burned_in and caller.may("admin"))
    auditing.record_part(request, [resource.study], "view")
    return found


def warning(request: Request, *sentences: str) -> dict[str, str]:
    """The header Warning (PS3.18, section 8.5.1.3); nothing without sentences."""
    told = ", ".join(f'299 {base_url(request)}: "{sentence}"' for sentence in sentences)
    return {"Warning": told} if told else {}


def left_out(request: Request, survey: Survey, *, withheld: bool) -> dict[str, str]:
    """A header Warning of what an answer about several instances leaves out."""
    told = []
    if survey.gone:
        told.append(f"{survey.gone} of {survey.instances} instances are left out: their files are gone")
    if withheld and survey.withheld:
        told.append(
            f"{survey.withheld} of {survey.instances} instances are left out: they may name the patient"
        )
    return warning(request, *told)


def begun(pieces: Iterator[Any]) -> Iterator[Any]:
    """The same pieces, of which the first is made now: what cannot begin is refused before the answer
    begins.
    """
    try:
        first = next(pieces)
    except StopIteration:
        return iter(())
    return chain([first], pieces)


def related(
    request: Request, kind: str, parts: Iterable[tuple[str, Iterable[bytes]]], headers: dict[str, str]
) -> Response:
    """An answer `multipart/related` of parts, each with its Content-Type, in pieces.

    The boundary follows from the address, so that equal answers have equal bytes.
    """
    asked = f"{request.url.path}\0{request.headers.get('accept', '')}"
    boundary = hashlib.sha256(asked.encode()).hexdigest()[:40]
    content_type = f'{RELATED}; type="{kind}"; boundary={boundary}'
    return StreamingResponse(_parts(boundary, parts), media_type=content_type, headers=headers)


def one_related(
    request: Request, kind: str, parts: Iterable[tuple[str, Iterable[bytes]]], headers: dict[str, str]
) -> Response:
    """As `related`, for what fits into memory: with a length and an entity tag."""
    streamed = related(request, kind, (), {})
    boundary = streamed.headers["content-type"].rpartition("=")[2]
    whole = b"".join(_parts(boundary, parts))
    return Response(whole, media_type=streamed.headers["content-type"], headers=headers)


def _parts(boundary: str, parts: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    for content_type, pieces in parts:
        yield f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()
        yield from pieces
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
