"""Ratios of a GPU: `python -m benchmarks.gpu` runs the tests of its index kinds, then B1, B2, B4, B5 and B6.

Without a GPU the same code runs on the processor at a small size, and stores no figure.
"""
