"""Linear probes: training on embeddings, patients kept together in folds, and the file of a probe."""
