"""The statements that a database is sent, for tests of how they grow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


class Statements:
    """The texts of the statements of this thread (others renew leases), the most parameters that one of them
    had, and how many there were.
    """

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.parameters = 0
        self.count = 0
        self._thread = threading.get_ident()

    def take(self, _c: Any, _cursor: Any, text: str, parameters: Any, _context: Any, many: bool) -> None:
        """Note one statement, as SQLAlchemy's event `before_cursor_execute` tells of it."""
        if threading.get_ident() != self._thread:
            return
        one = parameters[0] if many and parameters else parameters
        self.texts.add(text)
        self.parameters = max(self.parameters, len(one or ()))
        self.count += 1


@contextmanager
def statements() -> Iterator[Statements]:
    """Note the statements of this thread on all databases."""
    found = Statements()
    event.listen(Engine, "before_cursor_execute", found.take)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", found.take)
