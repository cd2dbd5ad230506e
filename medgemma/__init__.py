"""Draft reports by a generator. Nothing is here yet: routing and drafting come after the archive itself."""
