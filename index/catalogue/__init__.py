"""The catalogue in SQL: connection, tables, migrations, and the questions that are put to it."""
