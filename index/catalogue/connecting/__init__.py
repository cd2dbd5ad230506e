"""How the catalogue is reached: a file of SQLite, or a server of PostgreSQL that may be away."""
