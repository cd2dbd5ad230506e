"""Linear probes on embeddings.

`training.py` trains and judges them, on the fits of `fitting.py` and `logistic.py`; `patient_folds.py` keeps
the images of a patient in one fold, `split.py` in one part of a given split. `probe.py` is what is kept.
"""
