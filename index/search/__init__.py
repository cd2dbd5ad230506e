"""Search: the vectors of a space in memory, and checks against the catalogue.

`kinds.vector_search` defines what an index kind does, and `kinds.index_kinds` lists the kinds. Each kind has
a file of its own, such as `kinds.faiss_flat` and `kinds.bounded`, which only `kinds.index_kinds` imports.
"""
