"""Ratios of what is kept on disk: shards of vectors, and rows of metadata."""
