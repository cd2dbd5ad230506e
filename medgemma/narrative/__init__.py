"""The text of drafts that are composed from scores, and the table of scores that stands beside every draft.

`compose` writes the sections of a report, `score_table` the table. The names of findings, their codes, and
what each kind of report has are data: `terms/nouns.toml`, `terms/codes.toml`, `terms/views.toml` and
`report_kinds/`.
"""
