"""Whole slide images: `patches.render_slide` renders a unit.

`tiles` reads single tiles of a file, `levels` holds the pyramid and the grid of patches, `regions` assembles
tiles, and `tissue` finds the patches to keep.
"""
