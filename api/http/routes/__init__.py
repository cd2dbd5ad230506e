"""The routes of the HTTP service, one file for each noun.

`dependencies` has the parameters that they share, `problem_answers` describes their refusals, and `docs` and
`operations` are not about cases.
"""
