"""Stored pixel values: from a file's pixel data element, through a decoder, to arrays."""
