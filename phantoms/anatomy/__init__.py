"""Drawings of each kind of study, in arrays: bodies, organs and what disease adds to them."""
