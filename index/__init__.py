"""Cases of a home: SQL metadata, vectors in Parquet shards, and exact search by FAISS.

Other packages use `case_index.CaseIndex`, the values in `records`, the errors in `errors`, and the records
and constants of `service`. The rooms: `catalogue` (SQL), `storage` (adding, deleting, crash recovery),
`search` (vectors in memory and index kinds), `service` (jobs, API keys, audit trail, drafts, routing rules).
Imports go from `case_index` to `search` and `service`, from these to `storage`, and from all to `catalogue`.
"""
