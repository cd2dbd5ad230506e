"""Routes of who may do what and who did what: sessions, keys, saved views, audit pages, health, folders."""
