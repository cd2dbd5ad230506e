"""Spans of work, for whoever traces it: `spans` opens them, and records nothing unless a program has set a
tracer. Any part may import it.
"""
