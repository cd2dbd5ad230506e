"""Units of work: which frames and slices are rendered together, and in which order.

`plan` groups headers into `Unit`s; `stacks`, `sampling` and `mosaic` order and choose the slices of a series.
`rendered_image` holds what rendering yields.
"""
