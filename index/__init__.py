"""Cases: SQL metadata, Parquet vectors, FAISS, exact search. `CaseIndex` in `case_index.py` is the whole of
it.
"""
