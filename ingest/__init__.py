"""From files to the index: scan, decode, render, encode, commit.

In this order: `files`, `header`, `scan`, `units`, `pixels` (`volumes`, `slides`), `render`, `workers`, `run`.
`privacy` removes identifying values, `dicom` holds tables of the standard, and `reasons` every code of a
rejected file.
"""
