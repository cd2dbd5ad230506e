"""Generators, which write the text of drafts: a server, a model in this process, or the scores alone.

`generators` has the protocol, and `kinds` the table of kinds with the reading of their settings: a new kind
is a module of this folder and a line in that table. The kinds are `openai_server` and `local_pipeline`;
`evidence_only` needs none. `replies` reads what a model wrote, `readiness` tests that it sees pictures.
"""
