"""Routes below `/dicom-web`: instances are stored (STOW-RS), looked up (QIDO-RS) and retrieved (WADO-RS), as
DICOM PS3.18, section 10 has them.
"""
