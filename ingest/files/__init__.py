"""Which files there are, archives included, and where their bytes come from."""
