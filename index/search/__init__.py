"""Search: the vectors of a space in memory, the kinds of vector index, and checks against the catalogue.

`vector_search` defines what an index kind does, and `index_kinds` lists the kinds. Each kind has a file of
its own, such as `faiss_flat` and `bounded`, which only `index_kinds` imports.
"""
