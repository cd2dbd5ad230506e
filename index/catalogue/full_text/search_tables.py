"""What finds terms in `report_terms`: an FTS5 table on SQLite, an index of `tsvector` on PostgreSQL.

Both only say which texts hold which terms: the terms are made by `medsiglip.index.catalogue.full_text.terms`
and the ranking by `medsiglip.index.catalogue.full_text.ranking`, the same on both. A SQLite without FTS5 has
no such table; searches then read all terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Dialect,
    Text,
    bindparam,
    delete,
    func,
    insert,
    inspect,
    literal_column,
    select,
    table,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from medsiglip.index.catalogue.draft_schema import report_terms, report_texts
from medsiglip.index.catalogue.full_text.terms import terms_of
from medsiglip.index.catalogue.full_text.words_query import Form
from medsiglip.index.catalogue.rows import reserve_ids
from medsiglip.index.errors import CatalogError

TABLE = "report_search"
"""The name of SQLite's FTS5 table, and how the names of all that belongs to it begin."""
VECTOR = "term_vector"
"""The column of `report_terms` that PostgreSQL makes of the terms, and has an index on."""
Alternatives = Sequence[Sequence[Form]]
"""Lists of forms: of each list a text holds one form at least."""

# The text of a batch is in memory, with its terms.
_BATCH = 500
# `ascii` takes every character beyond ASCII as part of a word, so that words end at blanks alone
# (sqlite.org/fts5.html#ascii_tokenizer). Places and sizes are not kept: the ranking counts in the terms.
_SQLITE = (
    f"CREATE VIRTUAL TABLE {TABLE} USING fts5(terms, content='report_terms', content_rowid='id', "
    "detail=none, columnsize=0, tokenize=\"ascii tokenchars '.'\")",
    f"CREATE TRIGGER {TABLE}_added AFTER INSERT ON report_terms BEGIN "
    f"INSERT INTO {TABLE} (rowid, terms) VALUES (new.id, new.terms); END",
    f"CREATE TRIGGER {TABLE}_removed AFTER DELETE ON report_terms BEGIN "
    f"INSERT INTO {TABLE} ({TABLE}, rowid, terms) VALUES ('delete', old.id, old.terms); END",
)
# Without the text parser, whose words are others than ours. Made of the terms at every look, the vector would
# cost 35 microseconds a text.
_POSTGRESQL = (
    f"ALTER TABLE report_terms DROP COLUMN IF EXISTS {VECTOR}",
    f"ALTER TABLE report_terms ADD COLUMN {VECTOR} tsvector "
    "GENERATED ALWAYS AS (array_to_tsvector(string_to_array(btrim(terms), '  '))) STORED",
    f"CREATE INDEX ix_report_terms_{VECTOR} ON report_terms USING gin ({VECTOR})",
)


def rebuild_full_text(connection: Connection) -> None:
    """Make the terms of all texts anew, in batches, and what finds them; in a write transaction."""
    if connection.dialect.name == "sqlite":
        # First of all: rows cannot be deleted where a damaged FTS5 table refuses to follow.
        for name in ("added", "removed"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {TABLE}_{name}")
        if can_have_search_table(connection):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {TABLE}")
    connection.execute(delete(report_terms))
    for batch in stored_texts(connection):
        add_terms(connection, batch)
    _create_search_tables(connection)


def _create_search_tables(connection: Connection) -> None:
    """Make what finds the terms that are stored."""
    if connection.dialect.name == "postgresql":
        for statement in _POSTGRESQL:
            connection.exec_driver_sql(statement)
    elif can_have_search_table(connection):
        for statement in _SQLITE:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('rebuild')")


def stored_texts(connection: Connection) -> Iterator[Sequence[Any]]:
    """Study id, source and text of every report text, in batches by study."""
    study_id, last = report_texts.c.study_id, -1
    while True:
        some = select(study_id).where(study_id > last).distinct().order_by(study_id).limit(_BATCH)
        if not (ids := connection.execute(some).scalars().all()):
            return
        texts = select(study_id, report_texts.c.source, report_texts.c.text)
        texts = texts.where(study_id.between(ids[0], ids[-1])).order_by(study_id, report_texts.c.source)
        yield connection.execute(texts).all()
        last = ids[-1]


def add_terms(connection: Connection, texts: Iterable[Any]) -> None:
    """Store the terms of texts, rows or tuples of study id, source and text; in a write transaction."""
    rows = []
    for study_id, source, words in texts:
        terms = terms_of(words)
        rows.append(
            {"study_id": study_id, "source": source, "terms": terms.stored, "term_count": terms.number}
        )
    if rows:
        ids = reserve_ids(connection, len(rows))
        numbered = [{"id": row_id, **row} for row_id, row in zip(ids, rows, strict=True)]
        connection.execute(insert(report_terms), numbered)


def purge_removed_terms(connection: Connection) -> None:
    """Let no byte of the terms of deleted texts stay in SQLite's FTS5, which marks them as deleted until it
    merges its parts (sqlite.org/fts5.html#the_optimize_command).
    """
    if has_search_table(connection):
        connection.exec_driver_sql(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('optimize')")


def has_search_table(connection: Connection) -> bool:
    """Whether this is a SQLite catalogue with an FTS5 table."""
    return connection.dialect.name == "sqlite" and inspect(connection).has_table(TABLE)


def search_table_error(error: Any, catalogue: Path) -> CatalogError | None:
    """The error of SQLite's driver, if it is about the FTS5 table, as a sentence."""
    if getattr(error, "sqlite_errorname", "") == "SQLITE_CORRUPT_VTAB":
        return CatalogError(
            "catalog-corrupt",
            f"The full-text search of report texts in {catalogue} is damaged; run `index rebuild`.",
        )
    if str(error).startswith("no such module: fts"):
        return CatalogError(
            "bad-home",
            f"{catalogue} was made by a SQLite with FTS5, which this Python's lacks: use a Python whose "
            "`sqlite3` module has it, as nearly all do.",
        )
    return None


def can_have_search_table(connection: Connection) -> bool:
    """Whether this is a SQLite with FTS5, which nearly every one is made with."""
    if connection.dialect.name != "sqlite":
        return False
    modules = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
    return connection.exec_driver_sql(modules).first() is not None


class Holding(FunctionElement[bool]):
    """The condition that a row of `report_terms` has all the terms of a form of each of the alternatives:
    without regard to order, so that phrases need a look at the terms themselves.
    """

    inherit_cache = True

    def __init__(self, alternatives: Alternatives) -> None:
        query = bindparam(None, alternatives, _Query())
        super().__init__(report_terms.c.id, query)


@compiles(Holding, "sqlite")
def _holding_sqlite(element: Holding, compiler: Any, **options: Any) -> str:
    row_id, query = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({row_id} IN (SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH {query}))"


@compiles(Holding, "postgresql")
def _holding_postgresql(element: Holding, compiler: Any, **options: Any) -> str:
    row_id, query = (compiler.process(clause, **options) for clause in element.clauses)
    table = row_id.rpartition(".")[0]
    return f"({table}.{VECTOR} @@ CAST({query} AS tsquery))"


def count_holding(connection: Connection, alternatives: Alternatives) -> int:
    """How many rows of `report_terms` are `Holding`; on SQLite its FTS5 table is asked alone."""
    counted = select(func.count())
    if connection.dialect.name == "sqlite":
        query = bindparam(None, alternatives, _Query())
        counted = counted.select_from(table(TABLE)).where(literal_column(TABLE).op("MATCH")(query))
    else:
        counted = counted.select_from(report_terms).where(Holding(alternatives))
    return int(connection.execute(counted).scalar_one())


class _Query(TypeDecorator[Alternatives]):
    """Alternatives as FTS5 and `tsquery` take them, every term in quotation marks."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Alternatives | None, dialect: Dialect) -> str | None:
        """To the database."""
        if value is None:
            return None
        quote, both, star = ("'", " & ", ":*") if dialect.name == "postgresql" else ('"', " AND ", "*")
        either = " | " if dialect.name == "postgresql" else " OR "

        def written(form: Form) -> str:
            quoted = [f"{quote}{term}{quote}" for term in form.terms]
            return f"({both.join(quoted)}{star if form.prefix else ''})"

        return both.join(f"({either.join(map(written, forms))})" for forms in value)
