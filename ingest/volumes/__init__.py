"""NIfTI, NRRD and MetaImage volumes.

`volume_header.scan_volume` makes a header, `volume_file.VolumeFile` reads slices; both open the file by
`volume_reader`, with nibabel (`nifti_volume`) or SimpleITK (`itk_volume`). `volume_beginning` keeps unsafe
headers from them, and `volume_layout` orients the grid.
"""
