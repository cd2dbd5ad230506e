"""Rendering in worker processes: the pool, what passes through its pipes, and the worker itself."""
