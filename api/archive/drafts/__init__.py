"""Drafts, report texts and routing rules of an archive, and the generators that are configured."""
