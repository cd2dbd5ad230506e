"""Pages of answers to QIDO-RS, from services that keep to `limit` and `offset` and from those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Record = TypeVar("Record")


@dataclass(frozen=True)
class Page(Generic[Record]):
    """`records` by UID of the `count` items that came, and whether the service says that there is more
    (PS3.18, 8.3.4.4: the header Warning).
    """

    records: dict[str, Record]
    count: int
    has_more: bool = False


class OffsetIgnoredError(Exception):
    """The service has more than it gives at once, and gives the same again when asked for the rest."""


class Pages:
    """Asks for page after page of one kind until there is no more.

    A service may give fewer at once than it is asked for, without saying so: what ends the pages is one
    without anything new. With `trusts_short`, a page that is shorter than what was asked for and than one
    that came before ends them, too, which saves a question for each study.
    """

    def __init__(self, size: int, *, trusts_short: bool = False) -> None:
        self._size = size
        self._trusts_short = trusts_short
        self._longest = 0

    def records(self, ask: Callable[[int, int], Page[Record]], most: int) -> Iterator[Record]:
        """Up to `most` records, each UID once. `ask` gives the page of a limit and an offset.

        Raises `OffsetIgnoredError` rather than to leave out what could not be asked for.
        """
        seen: set[str] = set()
        offset = 0
        may_be_cut = False
        while len(seen) < most:
            limit = min(self._size, most - len(seen))
            page = ask(limit, offset)
            new = {uid: record for uid, record in page.records.items() if uid not in seen}
            if not new:
                if page.count and may_be_cut:
                    raise OffsetIgnoredError
                return
            for uid, record in list(new.items())[: most - len(seen)]:
                seen.add(uid)
                yield record
            if self._is_last(page.count, limit, has_more=page.has_more):
                return
            may_be_cut = page.has_more or page.count == limit
            offset += page.count

    def _is_last(self, count: int, limit: int, *, has_more: bool) -> bool:
        is_short = count < min(limit, self._longest)
        self._longest = max(self._longest, count)
        if has_more:
            return False
        # More than was asked for: the service does not page at all.
        return count > limit or (self._trusts_short and is_short)
