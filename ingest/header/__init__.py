"""The header of a file, read without its pixels.

`elements.read_elements` reads a DICOM header, `header.make_header` turns it into a `Header` without
identifying values; `quality`, `view`, `burned_in` and `slice_place` interpret single elements. `metadata`
reads the CSV.
"""
