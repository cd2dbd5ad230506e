"""Generators, which write the text of drafts: a server, a model in this process, or the scores alone.

`generators` has the protocol, and `kinds` the table of kinds with the reading of their settings: a new kind
is a module of this folder and a line in that table. The kinds are `openai_server` and `local_pipeline`;
`evidence_only` needs none. `readiness` tests that a model sees pictures.

A server has `server_options` (its settings), `request_body` (what it takes), `chat_stream` (what it answers),
`server_errors` and `server_refusals` (why it does not). `replies` reads what a model wrote: `thoughts` are
split off, `reply_text` leaves out what is no report, `unusable_replies` tells a text that is none, by the
sentences of `reply_phrases`.
"""
