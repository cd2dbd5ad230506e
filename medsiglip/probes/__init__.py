"""Linear probes on embeddings: `probe.py` trains, judges, saves and loads them.

`logistic.py` fits them and `patient_folds.py` keeps the images of a patient in one fold; only `probe.py` uses
both.
"""
