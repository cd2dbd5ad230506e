"""Asking a PACS, and fetching from and sending to it: DICOMweb (PS3.18) and DIMSE (PS3.7)."""
