"""Drafts as files that may leave the house: DICOM SR, encapsulated PDF, PDF, FHIR and Markdown."""
