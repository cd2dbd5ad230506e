"""Vectors in memory and the search over them: exact, by FAISS, checked against the catalogue."""
