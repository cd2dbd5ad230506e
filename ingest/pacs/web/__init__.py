"""What DICOMweb needs: HTTP with its credentials, lists in DICOM JSON, instances in parts. For
`medsiglip.ingest.pacs`.
"""
