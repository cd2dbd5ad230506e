"""The conformance statement says what the code does."""

from __future__ import annotations

import re

from medsiglip.ingest.pacs.dimse.contexts import STORAGE_CLASSES, SYNTAXES
from tests.ingest.pacs.conformance_tables import PAGE, tables, with_tables


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page
    assert set(re.findall(r"<!-- table: (\w+) -->", page)) == set(tables())


def test_every_class_and_syntax_is_listed_once() -> None:
    made = tables()
    for name, uids in (("classes", STORAGE_CLASSES), ("syntaxes", SYNTAXES)):
        listed = re.findall(r"\| `([0-9.]+)` \|", made[name])
        assert len(listed) == len(set(listed))
        assert set(uids) <= set(listed)
