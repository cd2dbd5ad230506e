"""NIfTI, NRRD and MetaImage volumes, read by SimpleITK.

`volume_header.scan_volume` makes a header, `volume_file.VolumeFile` reads slices; `volume_beginning` keeps
unsafe headers from ITK, and `volume_layout` orients the grid.
"""
