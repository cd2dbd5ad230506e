"""Procedural drawings of medical studies, written as DICOM: for the demonstration, the tests and the tiny model."""
