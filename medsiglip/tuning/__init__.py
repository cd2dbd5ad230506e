"""Contrastive tuning of a checkpoint on pictures and captions: `tune.py` is the whole of it."""
