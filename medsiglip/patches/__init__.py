"""Patches of an image: what each adds to a score, which of two images are alike, and pictures of both."""
