"""Figures of merit and their intervals: `metrics.py` for scores (AUROC, AUPRC), `retrieval.py` for
rankings.
"""
