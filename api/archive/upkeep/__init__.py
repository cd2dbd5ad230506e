"""Upkeep of an archive: counts and checks of its index, other models and kinds of search, backups."""
