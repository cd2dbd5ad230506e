"""Whether report texts, their terms and what finds the terms agree, and mending it where they do not."""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.draft_schema import report_terms
from medsiglip.index.catalogue.full_text.search_tables import (
    TABLE,
    can_have_search_table,
    has_search_table,
    rebuild_full_text,
    stored_texts,
)
from medsiglip.index.catalogue.full_text.terms import terms_of
from medsiglip.index.errors import CatalogError

_CURE = "run `index rebuild`."


def full_text_problems(database: Database) -> list[str]:
    """What does not fit, in sentences. The terms of every text are made again; nothing is changed, though
    SQLite compares its FTS5 table with them as a writer, where this process may write.
    """
    with database.read() as connection:
        problems = _wrong_terms(connection)
        may_have_table = can_have_search_table(connection)
        if may_have_table and not has_search_table(connection):
            return [*problems, f"The full-text search of report texts has no table; {_CURE}"]
    if may_have_table:
        try:
            with database.write_service_tables() as connection:
                problems += _wrong_search_table(connection)
        except CatalogError as error:
            if error.code not in ("read-only-home", "catalog-busy"):
                raise
    return problems


def mend_full_text(database: Database) -> bool:
    """Make terms and what finds them anew if they do not agree with the texts; returns whether they did."""
    if not full_text_problems(database):
        return False
    with database.write() as connection:
        rebuild_full_text(connection)
    return True


def _wrong_terms(connection: Connection) -> list[str]:
    wrong = texts = 0
    for batch in stored_texts(connection):
        texts += len(batch)
        theirs = report_terms.c.study_id.between(batch[0].study_id, batch[-1].study_id)
        columns = ("study_id", "source", "terms", "term_count")
        rows = connection.execute(select(*(report_terms.c[name] for name in columns)).where(theirs)).all()
        held = {(row.study_id, row.source): (row.terms, row.term_count) for row in rows}
        expected = {(row.study_id, row.source): tuple(terms_of(row.text)) for row in batch}
        wrong += sum(held.get(key) != terms for key, terms in expected.items())
    if not wrong:
        return []
    return [f"{wrong} of {texts} report texts are not found by their words in full-text search; {_CURE}"]


def _wrong_search_table(connection: Connection) -> list[str]:
    """Whether FTS5 holds what the terms say (sqlite.org/fts5.html#the_integrity_check_command)."""
    try:
        connection.exec_driver_sql(f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES ('integrity-check', 1)")
    except DatabaseError as error:
        if not getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_CORRUPT"):
            raise
        return [f"The full-text search of report texts does not hold their words; {_CURE}"]
    return []
