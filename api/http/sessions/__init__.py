"""Sessions of browsers: `cookies` are how they are carried, `session_gate` says whose they are."""
