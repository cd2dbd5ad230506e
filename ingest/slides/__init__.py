"""Whole slide images: pyramid levels, tiles, tissue, and patches."""
