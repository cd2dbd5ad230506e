"""Classifying files: `scan.scan_file` returns the `Header` of an image, or a `Rejected` that says why not."""
