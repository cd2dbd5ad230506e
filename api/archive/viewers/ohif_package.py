"""The npm archive of OHIF (`@ohif/app`), unpacked within bounds and made to live below `/ohif/`.

It is built for the root of a server: paths in its page, its scripts and its styles begin with `/`. These are
changed as it is unpacked; each change must be found, so that a version that is built otherwise is refused.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medsiglip.api.errors import ServiceError

PACKAGE = "@ohif/app"
ROOT = "/ohif/"
STARTING = "medsiglip-start.js"
# The published 3.12 has 232 files of 199 MB, the largest of 26 MB.
MOST_FILES = 4000
MOST_BYTES = 512 << 20
MOST_FILE_BYTES = 96 << 20
# Models for segmentation, and a viewer of slides: three quarters of the whole.
LARGE_PARTS = ("ort", "dicom-microscopy-viewer")
# A cache of its own in the browser, sign-in elsewhere, and notes for other servers.
_NOT_OURS = frozenset(
    ("sw.js", "init-service-worker.js", "google.js", "silent-refresh.html", "_headers", "_redirects")
) | {"serve.json", "oidc-client.min.js", "app-config.js"}
NAME = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.@+-]{0,127}", re.ASCII)
"""The names of its folders and files."""
_CONTENT = PurePosixPath("package/dist")
_DEEPEST = 8
_PUBLIC_PATH = re.compile(rb'\b([A-Za-z_$][\w$]{0,40})\.p ?= ?"/"')
_LINKED = re.compile(r'(\b(?:src|href|content)=")/(?!/)')
_LOADED = re.compile(r"<script[^<>]{0,200}></script>")
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_STYLED = re.compile(rb"url\((['\"]?)/(?!/)")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was unpacked: the version, how many files, and their bytes."""

    version: str
    files: int
    size: int


def unpack(archive: Path, folder: Path, *, whole: bool = False) -> Unpacked:
    """Unpack the archive into an empty folder, without `LARGE_PARTS` unless `whole`.

    Raises ServiceError `not-a-viewer` for what is no such archive, or one that is larger than any.
    """
    with _opened(archive) as packed:
        version = ""
        files = size = 0
        for number, member in enumerate(packed):
            if number > MOST_FILES:
                raise _refused(f"{archive} holds more than {MOST_FILES} files")
            if member.name == "package/package.json":
                version = _version(_content(packed, member, archive), archive)
                continue
            place = _place(member, archive)
            if place is None or str(place) in _NOT_OURS:
                continue
            if not whole and place.parts[0] in LARGE_PARTS:
                continue
            content = _content(packed, member, archive)
            files, size = files + 1, size + len(content)
            if size > MOST_BYTES:
                raise _refused(f"{archive} unpacks to more than {MOST_BYTES >> 20} MiB")
            target = folder.joinpath(*place.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    if not version or not (folder / "index.html").is_file():
        raise _refused(f"{archive} holds no built viewer")
    _move(folder, archive)
    return Unpacked(version, files, size)


class _Unzipped(gzip.GzipFile):
    """What is read at once, such as the head of a member, and where it lies are bounded: gzip makes a small
    file of very much of the same.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MOST_FILE_BYTES + tarfile.BLOCKSIZE:
            raise tarfile.ReadError("a part is too large")
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset > 2 * MOST_BYTES:
            raise tarfile.ReadError("the whole is too large")
        return super().seek(offset, whence)


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with _Unzipped(archive, "rb") as whole, tarfile.open(fileobj=whole, mode="r:") as packed:
            yield packed
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, FileNotFoundError):
            raise ServiceError("no-such-path", f"there is no file {archive}: check the path.") from None
        raise _refused(f"{archive} is no whole archive of npm") from None


def _content(packed: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> bytes:
    if not member.isreg():
        raise _refused(f"{archive} holds a link instead of {member.name[:80]!r}")
    if member.size > MOST_FILE_BYTES:
        raise _refused(f"{archive} holds a file of more than {MOST_FILE_BYTES >> 20} MiB")
    stream = packed.extractfile(member)
    return b"" if stream is None else stream.read(MOST_FILE_BYTES + 1)


def _place(member: tarfile.TarInfo, archive: Path) -> PurePosixPath | None:
    """Where a member lies in the built viewer; None for what is no part of it. Links are never followed."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise _refused(f"{archive} names files outside of itself")
    if not member.isreg() or not path.is_relative_to(_CONTENT):
        return None
    place = path.relative_to(_CONTENT)
    if not 0 < len(place.parts) <= _DEEPEST or not all(NAME.fullmatch(part) for part in place.parts):
        raise _refused(f"{archive} holds a file with an unusual name")
    return place


def _version(content: bytes, archive: Path) -> str:
    try:
        described = json.loads(content)
        name, version = str(described["name"]), str(described["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused(f"{archive} has no package.json that can be read") from None
    if name != PACKAGE or not re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", version, re.ASCII):
        raise _refused(f"{archive} is {name[:80]!r} and not {PACKAGE}")
    return version


def _move(folder: Path, archive: Path) -> None:
    """Change the paths that begin at the root of a server."""
    scripts = styles = 0
    for file in sorted(folder.rglob("*.js")):
        content, count = _PUBLIC_PATH.subn(rb'\1.p = "' + ROOT.encode() + rb'"', file.read_bytes())
        if count:
            file.write_bytes(content)
            scripts += count
    for file in sorted(folder.rglob("*.css")):
        content, count = _STYLED.subn(rb"url(\g<1>" + ROOT.encode(), file.read_bytes())
        if count:
            file.write_bytes(content)
            styles += count
    if not scripts or not styles:
        raise _refused(f"{archive} is built in another way than those that are known")
    _move_page(folder, archive)


def _move_page(folder: Path, archive: Path) -> None:
    """The page without scripts in itself, which its content policy does not allow."""
    page = (folder / "index.html").read_bytes().decode("utf-8", "replace")
    scripts = "\n".join(_INLINE.findall(page))
    if "window.PUBLIC_URL" not in scripts:
        raise _refused(f"{archive} is built in another way than those that are known")
    scripts = scripts.replace("window.PUBLIC_URL = '/'", f"window.PUBLIC_URL = '{ROOT}'")
    (folder / STARTING).write_text(scripts, encoding="utf-8")
    page = _LINKED.sub(rf"\1{ROOT}", _INLINE.sub("", _LOADED.sub(_without_worker, page)))
    first = page.index("<script") if "<script" in page else page.index("</head>")
    page = f'{page[:first]}<script src="{ROOT}{STARTING}"></script>{page[first:]}'
    (folder / "index.html").write_text(page, encoding="utf-8")
    manifest = folder / "manifest.json"
    if manifest.is_file():
        text = manifest.read_bytes().decode("utf-8", "replace")
        manifest.write_text(text.replace('": "/', f'": "{ROOT}').replace('":"/', f'":"{ROOT}'), "utf-8")


def _without_worker(tag: re.Match[str]) -> str:
    """The tag of a script, unless it asks for a service worker, which would keep an earlier viewer alive."""
    return "" if "init-service-worker.js" in tag[0] else tag[0]


def _refused(sentence: str) -> ServiceError:
    return ServiceError(
        "not-a-viewer",
        f"{sentence}: give the file that `npm pack {PACKAGE}` makes, of version 3.12 or 3.13.",
    )
