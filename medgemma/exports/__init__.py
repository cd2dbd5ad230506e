"""Exports of drafts: DICOM SR, encapsulated PDF, PDF, FHIR and Markdown.

`export.export` is the one function for others, with `study_facts` as its input. `standing`, `passages` and
`wording` hold what all formats share, `dicom_document` what the two DICOM formats share.
"""
