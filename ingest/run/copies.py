"""Copies of files that turn out to be unusable: the same SOP instance with the same pixels may have another
header, a correct one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medsiglip.ingest.files.source import hash_file
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.reasons import Rejected


class CopyGroups:
    """Groups of files with the same UID and the same pixels: one is rendered, and the others enter the index
    with it. If it is unusable, the next is rendered; they are rejected only when all have failed.

    `copies` are the others by the path of the one that is rendered.
    """

    def __init__(self, copies: dict[str, list[Header]]) -> None:
        self.copies = copies
        self._codes: dict[str, str] = {}

    def next_candidates(
        self, rejections: Iterable[Rejected], headers: Mapping[str, Header]
    ) -> tuple[list[Header], list[tuple[Header, Rejected]]]:
        """The files to render in place of the rejected ones, and the files of groups without a usable one.

        A file that is equal byte for byte to a rejected one is not tried.
        """
        following: list[Header] = []
        failed_groups: list[tuple[Header, Rejected]] = []
        for rejected in rejections:
            group = self.copies.pop(rejected.path, [])
            if not group:
                continue
            failed = headers[rejected.path]
            self._fail(failed, group, rejected.code)
            left = [header for header in group if header.path not in self._codes]
            if left:
                following.append(left[0])
                self.copies[left[0].path] = [one for one in (failed, *group) if one is not left[0]]
            else:
                members = (failed, *group)
                failed_groups += [(one, one.refused(self._codes[one.path])) for one in members]
        return following, failed_groups

    def _fail(self, failed: Header, group: Iterable[Header], code: str) -> None:
        self._codes[failed.path] = code
        content = _content(failed.path)
        for header in group:
            if content is not None and header.size == failed.size and _content(header.path) == content:
                self._codes[header.path] = code


def _content(path: str) -> str | None:
    try:
        return hash_file(path)
    except OSError:  # rendering it will report the reason
        return None
