"""Ratios of searches, and the vectors that they are measured on."""
