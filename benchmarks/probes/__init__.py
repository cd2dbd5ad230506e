"""Ratios of training probes, and the embeddings and labels that they are measured on."""
