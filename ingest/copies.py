"""Copies of files that turned out to be unusable: the same SOP instance with the same pixels may stand under
another header, one that does not lie.
"""

from __future__ import annotations

from collections.abc import Iterable

from ingest.header import Header
from ingest.reasons import Rejected
from ingest.scan import hash_file


def next_in_line(
    copies: dict[str, list[Header]], rejections: Iterable[Rejected]
) -> tuple[list[Header], list[tuple[Header, Rejected]]]:
    """For each rejected file the copy to try next, and the copies that share its fate because they are the
    same byte for byte. What is left of its copies becomes those of the one to try, in `copies`.
    """
    following, alike = [], []
    for rejected in rejections:
        group = copies.pop(rejected.path, [])
        content = _content(rejected.path) if group else None
        others = []
        for header in group:
            if content is not None and _content(header.path) == content:
                alike.append((header, Rejected(header.path, rejected.code)))
            else:
                others.append(header)
        if others:
            following.append(others[0])
            copies[others[0].path] = others[1:]
    return following, alike


def _content(path: str) -> str | None:
    try:
        return hash_file(path)
    except OSError:  # a file that cannot be read any more says so when it is drawn
        return None
