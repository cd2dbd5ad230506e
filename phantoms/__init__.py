"""Procedural drawings of medical studies, written as DICOM: for demonstration, tests and the tiny model."""
