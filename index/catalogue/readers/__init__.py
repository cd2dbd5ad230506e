"""Labels as readers give them, take them back and undo them, and the labels that the archive has for it.

Others use `label_store` and `reader_queries`.
"""
