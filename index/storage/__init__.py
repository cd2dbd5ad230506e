"""What goes into a home and comes out of it: rows and vector shards together, deletion, recovery."""
