"""One ingest from beginning to end: triage, workers, commits, report, and following a folder."""
