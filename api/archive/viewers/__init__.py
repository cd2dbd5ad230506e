"""Viewers that a person adds to a home: OHIF, from the archive that its makers publish."""
