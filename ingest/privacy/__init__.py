"""Pseudonyms and free text: nothing that names a person leaves this folder."""
