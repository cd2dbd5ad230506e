"""Ratios of our time or memory to that of a peer or to a limit, both measured in the same run.

`python -m benchmarks [NAME...]` runs them. Each module with a function `measure` is one ratio, named by what
it measures; `measure.py` and `results_file.py` are shared, and the others make data or run services.
"""
