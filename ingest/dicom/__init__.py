"""Tables of the DICOM standard, and values of its data elements."""
