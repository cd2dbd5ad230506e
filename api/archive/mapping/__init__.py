"""Maps of an archive: making them, and what they say of cases."""
