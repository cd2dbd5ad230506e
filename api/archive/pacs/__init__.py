"""Exchange with PACS without HTTP: finding, pulling, syncing, fetching again, sending."""
