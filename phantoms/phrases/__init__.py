"""The words of reports on phantoms."""
