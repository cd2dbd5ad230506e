"""Searching vectors that lie in a vector engine, with the shards as the truth."""
