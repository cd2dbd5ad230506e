"""Engines of an ingest: what renders and encodes the units of a run, on this machine or on several.

Others use `engine` (the protocol) and `choice` (the engine of a name).
"""
