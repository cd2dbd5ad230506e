"""Stored values to display values: modality and VOI transformations, lookup tables, colour profiles.

`renderings` holds the table of renderings with their versions, and `render`; `photometric` handles
Photometric Interpretation (MONOCHROME1, colour). A new rendering is one entry of the table and one function.
"""
