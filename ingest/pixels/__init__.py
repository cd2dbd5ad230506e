"""Stored pixel values: from the pixel data element of a file, through a decoder, to arrays.

`decode` is the way in: `open_dataset`, `frames`, `pixel_hash`, `decode_picture`. `frame_offsets` finds frames
without reading them, for slides.
"""
