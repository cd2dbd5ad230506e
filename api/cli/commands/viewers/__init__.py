"""Commands about viewers of a home."""
