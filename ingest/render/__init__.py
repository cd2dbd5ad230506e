"""Stored values to display values: modality and VOI transformations, lookup tables, colour profiles."""
