"""Synthetic pixels of each kind of study: bodies, organs and what disease adds to them.

One module for each anatomy of `medsiglip.phantoms.catalogue.ANATOMIES`, with `NAME`, `FINDINGS` and
`synthesise`; `head`, `thorax` and `breast` hold the bodies, `shapes` and `texture` raster primitives.
"""
