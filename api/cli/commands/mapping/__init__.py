"""Commands about maps of an archive."""
