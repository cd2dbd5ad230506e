"""The header of a file, read without its pixels.

`elements.read_elements` reads a DICOM header, `header.make_header` turns it into a `Header` without
identifying values; `view`, `burned_in` and `slice_place` interpret single elements; `quality` also measures
display values (`measure`). `metadata` and `label_columns` read the CSV.
"""
