"""Checks of drafts: each sentence against the scores of its study, and against reports of other patients.

`verify` (`check_draft`, `flips`, `marked`) and `copied` are for others. A draft is split into `sentences` and
`phrases`; `polarity` decides what they state, `wording` finds words of change and of other pictures,
`overlap` words shared with other texts; `lexicon` and `terms` read the tables in `medgemma/terms`.
"""
