"""Routing rules: which studies go to a generator, read from TOML and tried on the archive."""
