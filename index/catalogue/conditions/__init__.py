"""Conditions of `--where` expressions: comparisons of columns, qualities of images, predictions of probes."""
