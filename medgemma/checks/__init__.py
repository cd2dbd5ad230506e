"""Checks of drafts: each sentence against the scores of its study, and against reports of other patients.

`verify` (`check_draft`, `flips`), `review`, `concerns`, `marks`, `copied`, `language` are for others. A draft
is split into `sentences`, their `words` (with `signs`, `tables` and `spelling`) into `phrases`; `polarity`
decides what they state by the triggers before findings (`scopes`) and `triggers_after` them. `attributes` are
sides, sizes and numbers, `omissions` what is not said, `wording` words of change and of other pictures,
`overlap` words shared with other texts; `lexicon` and `terms` read the tables in `medgemma/terms`.
"""
