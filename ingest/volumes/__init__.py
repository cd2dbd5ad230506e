"""NIfTI, NRRD and MetaImage volumes."""
