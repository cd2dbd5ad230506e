"""Copies of files that turned out to be unusable: the same SOP instance with the same pixels may stand under
another header, one that does not lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medsiglip.ingest.header.header import Header
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.scan.scan import hash_file


class Groups:
    """Files of one UID and one content of pixels: one of them is drawn, the others enter with it. If it
    cannot be used, the next is drawn, and only when all have failed is any of them rejected.

    `copies` are the others by the path of the one that is drawn.
    """

    def __init__(self, copies: dict[str, list[Header]]) -> None:
        self.copies = copies
        self._codes: dict[str, str] = {}

    def next_in_line(
        self, rejections: Iterable[Rejected], headers: Mapping[str, Header]
    ) -> tuple[list[Header], list[tuple[Header, Rejected]]]:
        """The files to draw instead of those that were rejected, and whole groups of which none can be used.

        What is the same byte for byte as a rejected file is not tried.
        """
        following: list[Header] = []
        given_up: list[tuple[Header, Rejected]] = []
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
                whole = (failed, *group)
                given_up += [(one, one.refused(self._codes[one.path])) for one in whole]
        return following, given_up

    def _fail(self, failed: Header, group: Iterable[Header], code: str) -> None:
        self._codes[failed.path] = code
        content = _content(failed.path)
        for header in group:
            if content is not None and header.size == failed.size and _content(header.path) == content:
                self._codes[header.path] = code


def _content(path: str) -> str | None:
    try:
        return hash_file(path)
    except OSError:  # a file that cannot be read any more says so when it is drawn
        return None
