"""Settings, the archive as a service, and the command line."""
