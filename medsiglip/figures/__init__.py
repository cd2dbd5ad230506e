"""Figures of merit: of scores (AUROC, AUPRC, intervals) and of retrieval (precision, recall, mAP)."""
