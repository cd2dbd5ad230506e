"""Vectors in PostgreSQL beside the catalogue, by the extension pgvector."""
