"""The catalogue in SQL: opening and connection, tables (`schema` and its neighbours), `migrations/`, and
queries.

`database` has the transactions, `filters` the `--where` expressions, `case_queries` and `filter_queries` the
questions about cases. The other rooms of `index` use all of it; it uses none of them.
"""
