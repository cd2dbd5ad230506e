"""One ingest from beginning to end: triage, workers, commits and report.

`ingest` of `pipeline` is the way in, with `IngestReport` and `Progress` as its results; `watch` follows a
folder, `dry_run` works on a copy of the catalogue, and `stoppable` of `interruption` lets another thread end
a run.
"""
