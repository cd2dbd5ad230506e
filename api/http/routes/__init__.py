"""The routes of the HTTP service, one file for each noun."""
