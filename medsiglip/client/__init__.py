"""`Client`: the HTTP service from Python."""
