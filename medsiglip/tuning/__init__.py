"""Contrastive tuning of a checkpoint on pictures and captions.

Other packages use `tune` and its options of `tune.py`, and the data format of `data.py`.
"""
